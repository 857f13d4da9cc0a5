package io.epidote.cli.load;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.cli.load.Answer.Failure;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.proto.v1.Timeline;
import io.netty.buffer.ByteBuf;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Reads OpenAI's server-sent events of one answer. A load generator shares its machine with the
 * server that it measures, so events are searched as text; only those that come once are parsed.
 */
final class SseReader {
  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final Pattern COMPLETION_TOKENS =
      Pattern.compile("\"completion_tokens\": ?(\\d+)");
  private static final Pattern PROMPT_TOKENS = Pattern.compile("\"prompt_tokens\": ?(\\d+)");

  private final Answer answer;
  private byte[] line = new byte[512];
  private int length;
  private boolean done;

  SseReader(Answer answer) {
    this.answer = answer;
  }

  /** Takes bytes as they came. */
  void take(ByteBuf bytes) {
    long now = System.nanoTime();
    while (bytes.isReadable() && !answer.isOver()) {
      int end = bytes.indexOf(bytes.readerIndex(), bytes.writerIndex(), (byte) '\n');
      int size = (end < 0 ? bytes.writerIndex() : end) - bytes.readerIndex();
      if (length + size > line.length) {
        line = Arrays.copyOf(line, Math.max(2 * line.length, length + size));
      }
      bytes.readBytes(line, length, size);
      length += size;
      if (end >= 0) {
        bytes.skipBytes(1);
        // What is not ASCII may be read wrong: nothing that is looked for is.
        line(new String(line, 0, length, StandardCharsets.ISO_8859_1), now);
        length = 0;
      }
    }
  }

  private void line(String text, long now) {
    if (!text.startsWith("data:")) {
      return;
    }
    if (hasText(text, "\"content\":")
        || hasText(text, "\"text\":")
        || hasText(text, "\"reasoning_content\":")) {
      answer.text(now);
    } else if (text.startsWith("{\"error\"", text.indexOf('{'))) {
      answer.fail(Failure.SERVER, "The server broke off: " + text);
    } else if (text.startsWith("[DONE]", 5) || text.startsWith("[DONE]", 6)) {
      done = true;
    }
    if (text.contains("\"usage\":")) {
      answer.usage(number(PROMPT_TOKENS, text), number(COMPLETION_TOKENS, text));
    }
    if (text.contains("\"timeline\":{")) {
      timeline(text.substring(text.indexOf('{')));
    }
  }

  /** Whether a field is there with a text that is not empty. */
  private static boolean hasText(String line, String field) {
    int at = line.indexOf(field);
    if (at < 0) {
      return false;
    }
    at += field.length();
    at = line.startsWith(" ", at) ? at + 1 : at;
    return line.startsWith("\"", at) && !line.startsWith("\"", at + 1);
  }

  private static int number(Pattern pattern, String line) {
    Matcher matcher = pattern.matcher(line);
    return matcher.find() ? Integer.parseInt(matcher.group(1)) : 0;
  }

  private void timeline(String json) {
    JsonNode told;
    try {
      told = MAPPER.readTree(json).path("timeline");
    } catch (IOException e) {
      answer.fail(Failure.SERVER, "A timeline is no JSON: " + json);
      return;
    }
    Timeline.Builder timeline =
        Timeline.newBuilder()
            .setRouterMs(told.path("router_ms").asDouble())
            .setTtftMs(told.path("ttft_ms").asDouble())
            .setTotalMs(told.path("total_ms").asDouble())
            .setTopology(told.path("topology").asText())
            .setPredictedTtftMs(told.path("predicted_ttft_ms").asDouble());
    for (JsonNode stage : told.path("stages")) {
      timeline.addStages(
          StageTiming.newBuilder()
              .setStage(
                  Stage.valueOf("STAGE_" + stage.path("stage").asText().toUpperCase(Locale.ROOT)))
              .setNodeId(stage.path("node").asText())
              .setQueueMs(stage.path("queue_ms").asDouble())
              .setComputeMs(stage.path("compute_ms").asDouble())
              .setTransferMs(stage.path("transfer_ms").asDouble())
              .setOverlappedComputeMs(stage.path("overlapped_compute_ms").asDouble())
              .setOverlappedTransferMs(stage.path("overlapped_transfer_ms").asDouble())
              .setHandoffMs(stage.path("handoff_ms").asDouble()));
    }
    answer.timeline(timeline.build());
  }

  /** The response is complete. */
  void end() {
    if (done) {
      answer.end();
    } else {
      answer.fail(
          Failure.CUT,
          "The server ended its answer without [DONE]; see its log for what happened to it.");
    }
  }
}
