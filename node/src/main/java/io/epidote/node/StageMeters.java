package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.proto.v1.StageTiming;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.util.Locale;
import java.util.concurrent.TimeUnit;

/** Timers and counters that stages record into; names begin with {@code epidote_}. */
public final class StageMeters {
  private final MeterRegistry registry;

  public StageMeters(MeterRegistry registry) {
    this.registry = requireNonNull(registry, "registry is null");
  }

  /** A stage's work on a request is done. */
  public void requestDone(StageTiming timing) {
    String stage = tag(timing.getStage());
    record("epidote.stage.queue", stage, timing.getQueueMs());
    record("epidote.stage.compute", stage, timing.getComputeMs());
    record("epidote.stage.transfer", stage, timing.getTransferMs());
    Counter.builder("epidote.transfer.bytes")
        .tag("stage", stage)
        .description("Bytes pulled from other nodes")
        .register(registry)
        .increment(timing.getBytesMoved());
    outcome(stage, "done");
  }

  /** A request ended before its time: cancelled or failed. */
  public void requestLost(io.epidote.proto.v1.Stage stage, String outcome) {
    outcome(tag(stage), outcome);
  }

  /** A model step ran over {@code size} tiles, prompt tokens or sequences. */
  public void step(io.epidote.proto.v1.Stage stage, long nanos, int size) {
    Timer.builder("epidote.step")
        .tag("stage", tag(stage))
        .description("Duration of one step of the model")
        .register(registry)
        .record(nanos, TimeUnit.NANOSECONDS);
    DistributionSummary.builder("epidote.step.size")
        .tag("stage", tag(stage))
        .description("Tiles, prompt tokens or sequences in one step")
        .register(registry)
        .record(size);
  }

  private void record(String name, String stage, double millis) {
    Timer.builder(name)
        .tag("stage", stage)
        .register(registry)
        .record((long) (millis * 1e6), TimeUnit.NANOSECONDS);
  }

  private void outcome(String stage, String outcome) {
    Counter.builder("epidote.stage.requests")
        .tag("stage", stage)
        .tag("outcome", outcome)
        .register(registry)
        .increment();
  }

  private static String tag(io.epidote.proto.v1.Stage stage) {
    return stage.name().substring("STAGE_".length()).toLowerCase(Locale.ROOT);
  }
}
