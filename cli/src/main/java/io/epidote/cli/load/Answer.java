package io.epidote.cli.load;

import io.epidote.proto.v1.Timeline;
import java.util.Arrays;
import java.util.Optional;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * What a client sees of one answer, as it comes: filled by one thread at a time, handed over once
 * when it has ended. Times are {@link System#nanoTime}.
 */
public final class Answer {
  /** Why there is no whole answer. */
  public enum Failure {
    /** No connection could be made. */
    CONNECT,
    /** The server refused for what was asked: 4xx, but not 429. */
    REFUSED,
    /** The server had no room: 429, or RESOURCE_EXHAUSTED. */
    BUSY,
    /** The server failed: 5xx, or an error in the stream. */
    SERVER,
    /** The connection ended before the answer did. */
    CUT,
    /** Nothing came for too long. */
    TIMEOUT,
    /** The answer ended in order and had no text. */
    EMPTY
  }

  private final long intended;
  private final String phase;
  private final Consumer<Answer> onEnd;
  private long sent;
  private long ended;
  private long[] texts = new long[16];
  private int count;
  private int promptTokens;
  private int tokens;
  private @Nullable Failure failure;
  private String message = "";
  private @Nullable Timeline timeline;

  /**
   * @param intended when the request should be sent: what it waits before that is the server's
   *     doing, or this machine's, and counts
   * @param onEnd hears of the end once
   */
  Answer(long intended, String phase, Consumer<Answer> onEnd) {
    this.intended = intended;
    this.phase = phase;
    this.onEnd = onEnd;
  }

  // For targets.

  void sent() {
    sent = System.nanoTime();
  }

  /** Text came. */
  void text(long at) {
    if (count == texts.length) {
      texts = Arrays.copyOf(texts, 2 * count);
    }
    texts[count++] = at;
  }

  /** What the server counted; 0 where it did not say. */
  void usage(int prompt, int completion) {
    promptTokens = Math.max(promptTokens, prompt);
    tokens = Math.max(tokens, completion);
  }

  void timeline(Timeline told) {
    timeline = told;
  }

  boolean isOver() {
    return ended != 0;
  }

  /** The answer is whole. */
  void end() {
    if (count == 0) {
      fail(Failure.EMPTY, "The answer ended without any text; ask for more output tokens.");
    } else if (!isOver()) {
      ended = System.nanoTime();
      onEnd.accept(this);
    }
  }

  /** Only the first end counts. */
  void fail(Failure kind, String why) {
    if (!isOver()) {
      failure = kind;
      message = why;
      ended = System.nanoTime();
      onEnd.accept(this);
    }
  }

  // For whoever reads it when it is over.

  public String phase() {
    return phase;
  }

  public Optional<Failure> failure() {
    return Optional.ofNullable(failure);
  }

  /** Why it failed, and what to do. */
  public String message() {
    return message;
  }

  public boolean whole() {
    return failure == null;
  }

  public long intended() {
    return intended;
  }

  public long endedAt() {
    return ended;
  }

  /** How much later than intended the request left, nanoseconds. */
  public long late() {
    return Math.max(0, sent - intended);
  }

  /** Nanoseconds from when it should have been sent to its first text. */
  public long ttft() {
    return texts[0] - intended;
  }

  /** Nanoseconds for each token after the first; 0 where there is only one. */
  public long tpot() {
    return tokens() < 2 ? 0 : (texts[count - 1] - texts[0]) / (tokens() - 1);
  }

  /** Nanoseconds from when it should have been sent to its end. */
  public long e2e() {
    return ended - intended;
  }

  /** When text came, in order. */
  public long[] texts() {
    return Arrays.copyOf(texts, count);
  }

  public int promptTokens() {
    return promptTokens;
  }

  /** As the server counted, or else events with text. */
  public int tokens() {
    return tokens > 0 ? tokens : count;
  }

  public Optional<Timeline> timeline() {
    return Optional.ofNullable(timeline);
  }
}
