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

  /** Requests could have been in a step, but it had as many adapters as it may. */
  public void passedOver(io.epidote.proto.v1.Stage stage, int requests) {
    if (requests > 0) {
      Counter.builder("epidote.adapters.passed.over")
          .tag("stage", tag(stage))
          .description("Requests that were left out of a step that had enough adapters")
          .register(registry)
          .increment(requests);
    }
  }

  /** A running answer had to stop because an older one needs its KV blocks. */
  public void preempted() {
    count(
        "epidote.kv.preemptions",
        "Running answers that stopped for want of KV blocks, and went on later",
        1);
  }

  /** KV blocks went out to swap space. */
  public void swappedOut(int blocks) {
    count("epidote.kv.swapped.blocks", "KV blocks moved to swap space", blocks);
  }

  /** Tiles of a request were looked up in the media-token cache. */
  public void tiles(int hits, int misses) {
    count(
        "epidote.media.cache.hits",
        "Tiles that were cached or being made for another request",
        hits);
    count("epidote.media.cache.misses", "Tiles that had to be encoded", misses);
  }

  /** Tiles were dropped from the media-token cache to make room. */
  public void tilesEvicted(long tiles) {
    count("epidote.media.cache.evictions", "Tiles that made room for others", tiles);
  }

  private void count(String name, String description, double amount) {
    Counter.builder(name).description(description).register(registry).increment(amount);
  }

  /** A prompt's beginning was looked up. */
  public void prefix(int cachedTokens, int promptTokens) {
    Counter.builder("epidote.prefix.cache.hits")
        .description("Prompt tokens whose KV blocks were in the prefix cache")
        .baseUnit("tokens")
        .register(registry)
        .increment(cachedTokens);
    Counter.builder("epidote.prefix.cache.queries")
        .description("Prompt tokens that were looked up in the prefix cache")
        .baseUnit("tokens")
        .register(registry)
        .increment(promptTokens);
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
