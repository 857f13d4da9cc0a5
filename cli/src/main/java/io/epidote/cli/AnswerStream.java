package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Reads answers that a server streams as OpenAI's server-sent events, and when their tokens came. A
 * load generator shares its machine with the server that it measures, so events are searched as
 * text instead of parsed. Safe for use by many threads.
 */
final class AnswerStream implements AutoCloseable {
  /** Text of a chat's delta or of a completion, but not an empty one. */
  private static final Pattern TEXT = Pattern.compile("\"(?:content|text)\": ?\"[^\"]");

  private static final Pattern COMPLETION_TOKENS =
      Pattern.compile("\"completion_tokens\": ?(\\d+)");
  private static final Pattern PROMPT_TOKENS = Pattern.compile("\"prompt_tokens\": ?(\\d+)");
  private static final Pattern ERROR = Pattern.compile("\\{ ?\"error\"");
  private static final Duration TIMEOUT = Duration.ofMinutes(5);

  private final HttpClient client =
      HttpClient.newBuilder()
          .version(HttpClient.Version.HTTP_1_1)
          .connectTimeout(Duration.ofSeconds(10))
          .build();

  private final URI address;

  AnswerStream(URI address) {
    this.address = address;
  }

  /**
   * When an answer came, in System.nanoTime().
   *
   * @param firstText arrival of the first text
   * @param lastText arrival of the last text
   * @param promptTokens as the server counted, 0 if it did not say
   * @param tokens as the server counted, or else events with text
   */
  record Timing(
      long started, long firstText, long lastText, long ended, int promptTokens, int tokens) {}

  /**
   * Sends a request and reads its answer to the end.
   *
   * @throws Unavailable when the server cannot be reached, refuses, or breaks off
   */
  Timing ask(String body) throws InterruptedException {
    HttpRequest request =
        HttpRequest.newBuilder(address)
            .timeout(TIMEOUT)
            .header("Content-Type", "application/json")
            .POST(BodyPublishers.ofString(body))
            .build();
    long started = System.nanoTime();
    try {
      HttpResponse<Stream<String>> response = client.send(request, BodyHandlers.ofLines());
      try (Stream<String> lines = response.body()) {
        if (response.statusCode() != 200) {
          throw new Unavailable(
              "%s answered %d: %s"
                  .formatted(
                      address,
                      response.statusCode(),
                      lines.limit(20).collect(Collectors.joining(" "))));
        }
        Reading reading = new Reading();
        lines.forEach(reading::take);
        return reading.timing(started);
      }
    } catch (IOException | UncheckedIOException e) {
      throw new Unavailable("%s did not answer: %s".formatted(address, e), e);
    }
  }

  /** One answer as it comes. */
  private final class Reading {
    private long first;
    private long last;
    private int events;
    private int promptTokens;
    private int tokens;
    private boolean done;

    void take(String line) {
      if (!line.startsWith("data:")) {
        return;
      }
      if (TEXT.matcher(line).find()) {
        last = System.nanoTime();
        first = events++ == 0 ? last : first;
      } else if (ERROR.matcher(line).find()) {
        throw new Unavailable("%s broke off: %s".formatted(address, line));
      }
      done |= line.endsWith("[DONE]");
      tokens = Math.max(tokens, number(COMPLETION_TOKENS, line));
      promptTokens = Math.max(promptTokens, number(PROMPT_TOKENS, line));
    }

    private static int number(Pattern pattern, String line) {
      Matcher matcher = pattern.matcher(line);
      return matcher.find() ? Integer.parseInt(matcher.group(1)) : 0;
    }

    Timing timing(long started) {
      if (!done || events == 0) {
        throw new Unavailable(
            "%s ended its answer after %d events with text and %s [DONE]"
                .formatted(address, events, done ? "a" : "no"));
      }
      return new Timing(
          started, first, last, System.nanoTime(), promptTokens, tokens > 0 ? tokens : events);
    }
  }

  @Override
  public void close() {
    client.close();
  }
}
