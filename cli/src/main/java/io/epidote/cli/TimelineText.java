package io.epidote.cli;

import io.epidote.proto.v1.StageTiming;
import io.epidote.proto.v1.Timeline;
import java.util.Locale;

/** A request's timeline, for people. */
final class TimelineText {
  private TimelineText() {}

  static String of(InferenceClient.Answer answer, String indent) {
    Timeline timeline = answer.finished().getTimeline();
    StringBuilder text = new StringBuilder();
    text.append(
        line(
            "%s%-8s %-10s %-7s %9s %11s %12s %12s %10s  %s",
            indent,
            "stage",
            "node",
            "weights",
            "queue",
            "compute",
            "transfer",
            "overlapped",
            "moved",
            "work"));
    for (StageTiming stage : timeline.getStagesList()) {
      text.append(
          line(
              "%s%-8s %-10s %-7s %6.1f ms %8.1f ms %9.1f ms %9.1f ms %10s  %d %s",
              indent,
              NodeSpec.word(stage.getStage()),
              stage.getNodeId(),
              stage.getPrecision(),
              stage.getQueueMs(),
              stage.getComputeMs(),
              stage.getTransferMs(),
              stage.getOverlappedComputeMs() + stage.getOverlappedTransferMs(),
              Bytes.words(stage.getBytesMoved()),
              stage.getUnits(),
              work(stage)));
    }
    text.append(
        line(
            "%s%s: router %.1f ms, first token %.1f ms (%.1f predicted), total %.1f ms",
            indent,
            timeline.getTopology(),
            timeline.getRouterMs(),
            timeline.getTtftMs(),
            timeline.getPredictedTtftMs(),
            timeline.getTotalMs()));
    return text.toString();
  }

  private static String work(StageTiming stage) {
    return switch (stage.getStage()) {
      case STAGE_ENCODE -> "tiles";
      case STAGE_PREFILL -> "prompt tokens";
      case STAGE_DECODE ->
          stage.getKvWire().equals("int8") ? "tokens, KV came as int8: lossy" : "tokens";
      case STAGE_UNSPECIFIED, UNRECOGNIZED -> "units";
    };
  }

  private static String line(String format, Object... values) {
    return String.format(Locale.ROOT, format, values) + System.lineSeparator();
  }
}
