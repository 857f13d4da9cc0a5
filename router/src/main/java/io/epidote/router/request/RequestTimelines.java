package io.epidote.router.request;

import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.proto.v1.Timeline;
import io.epidote.proto.v1.Usage;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What is told of how a request's answers were made: the router's times and those of the stages,
 * and what they used. Belongs to the request's turn.
 */
final class RequestTimelines {
  private final RequestMetrics.Recording recording;
  private final Punctuality punctuality;
  private final List<Timeline> told = new ArrayList<>();

  RequestTimelines(RequestMetrics.Recording recording, Punctuality punctuality) {
    this.recording = recording;
    this.punctuality = punctuality;
  }

  /** What is told with the end of an answer. */
  AnswerListener.Finish finish(
      Generation generation,
      FinishReason reason,
      List<StageTiming> timings,
      @Nullable PreparedRequest prepared) {
    return finish(
        generation.choice(), reason, generation.tokens(), timings, List.of(generation), prepared);
  }

  /** Likewise, of one that was never begun. */
  AnswerListener.Finish unanswered(
      int choice, FinishReason reason, @Nullable PreparedRequest prepared) {
    return finish(choice, reason, 0, List.of(), List.of(), prepared);
  }

  private AnswerListener.Finish finish(
      int choice,
      FinishReason reason,
      int tokens,
      List<StageTiming> timings,
      List<Generation> of,
      @Nullable PreparedRequest prepared) {
    Usage.Builder usage = Usage.newBuilder().setCompletionTokens(tokens);
    timings.stream()
        .filter(timing -> timing.getStage() == Stage.STAGE_PREFILL)
        .findFirst()
        .ifPresent(timing -> usage.setCachedTokens(timing.getCachedUnits()));
    if (prepared != null) {
      usage
          .setPromptTokens(prepared.promptTokens())
          .setMediaTokens(prepared.prompt().mediaTokens());
    }
    Timeline timeline = builder(of).addAllStages(timings).build();
    told.add(timeline);
    return new AnswerListener.Finish(choice, reason, usage.build(), timeline);
  }

  /** The router's part of the timeline of these answers. */
  Timeline router(List<Generation> of) {
    return builder(of).build();
  }

  private Timeline.Builder builder(List<Generation> of) {
    Timeline.Builder timeline = recording.timeline().setExpectedLate(punctuality.expectedLate());
    of.forEach(generation -> {
      timeline.setRecoveries(generation.recoveries());
      generation
          .placement()
          .ifPresent(placement ->
              timeline
                  .setTopology(placement.topology().label())
                  .setPredictedTtftMs(placement.predictedFirstTokenMs()));
    });
    return timeline;
  }

  /**
   * Of a request that is over, a timeline of each answer that is complete; where there is none, one
   * of how far the request came.
   */
  List<Timeline> all(List<Generation> of) {
    if (!told.isEmpty()) {
      return List.copyOf(told);
    }
    Timeline.Builder timeline = builder(of);
    of.forEach(generation -> timeline.addAllStages(generation.timings()));
    return List.of(timeline.build());
  }
}
