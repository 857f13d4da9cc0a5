package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.node.metrics.Buckets;
import io.epidote.node.transfer.PullEnd;
import io.epidote.proto.v1.StageTiming;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.util.Collection;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * Timers and counters that stages record into; names begin with {@code epidote_}. All are there
 * from the start, because a counter whose first sight is not 0 hides what it counted by then.
 * Thread-safe.
 */
public final class StageMeters {
  private final MeterRegistry registry;
  private final Map<io.epidote.proto.v1.Stage, OfStage> stages = new ConcurrentHashMap<>();
  private final Counter preemptions;
  private final Counter swappedBlocks;
  private final Counter mediaHits;
  private final Counter mediaMisses;
  private final Counter mediaEvictions;
  private final Counter prefixHits;
  private final Counter prefixQueries;
  private final Timer pulls;
  private final Counter pullsDone;
  private final Counter pullsFailed;
  private final Counter pullsCancelled;

  public StageMeters(MeterRegistry registry) {
    this.registry = requireNonNull(registry, "registry is null");
    preemptions =
        counter(
            "epidote.kv.preemptions",
            "Running answers that stopped for want of KV blocks, and went on later");
    swappedBlocks = counter("epidote.kv.swapped.blocks", "KV blocks moved to swap space");
    mediaHits =
        counter(
            "epidote.media.cache.hits", "Tiles that were cached or being made for another request");
    mediaMisses = counter("epidote.media.cache.misses", "Tiles that had to be encoded");
    mediaEvictions = counter("epidote.media.cache.evictions", "Tiles that made room for others");
    prefixHits =
        tokens(
            "epidote.prefix.cache.hits", "Prompt tokens whose KV blocks were in the prefix cache");
    prefixQueries =
        tokens(
            "epidote.prefix.cache.queries",
            "Prompt tokens that were looked up in the prefix cache");
    pulls =
        timer(
            "epidote.pull", "Pulling what is behind handles of other nodes, from request to check");
    pullsDone = pullsBy("done");
    pullsFailed = pullsBy("failed");
    pullsCancelled = pullsBy("cancelled");
  }

  /** Meters of one stage. */
  private final class OfStage {
    private final String stage;
    private final Timer queue;
    private final Timer compute;
    private final Timer transfer;
    private final Counter bytes;
    private final Timer step;
    private final DistributionSummary stepSize;
    private final Counter passedOver;
    private final Counter done;

    OfStage(String stage) {
      this.stage = stage;
      queue = timer("epidote.node.queue", "Waiting of requests at this node", "stage", stage);
      compute = timer("epidote.node.compute", "Steps that worked on a request", "stage", stage);
      transfer = timer("epidote.node.transfer", "Pulling a request's input", "stage", stage);
      bytes = counter("epidote.transfer.bytes", "Bytes pulled from other nodes", "stage", stage);
      step = timer("epidote.step", "Duration of one step of the model", "stage", stage);
      stepSize =
          DistributionSummary.builder("epidote.step.size")
              .tag("stage", stage)
              .description("Tiles, prompt tokens or sequences in one step")
              .serviceLevelObjectives(Buckets.counts())
              .register(registry);
      passedOver =
          counter(
              "epidote.adapters.passed.over",
              "Requests that were left out of a step that had enough adapters",
              "stage",
              stage);
      done = outcome("done");
      // Created now, found again by name.
      outcome("cancelled");
      outcome("failed");
    }

    Counter outcome(String outcome) {
      return counter(
          "epidote.stage.requests",
          "Requests that a stage is done with",
          "stage",
          stage,
          "outcome",
          outcome);
    }
  }

  /** The node has these stages from now on: their meters are there before their first request. */
  void serve(Collection<io.epidote.proto.v1.Stage> kinds) {
    kinds.forEach(this::of);
  }

  private OfStage of(io.epidote.proto.v1.Stage stage) {
    return stages.computeIfAbsent(stage, kind -> new OfStage(word(kind)));
  }

  static String word(io.epidote.proto.v1.Stage stage) {
    return stage.name().substring("STAGE_".length()).toLowerCase(Locale.ROOT);
  }

  /** A stage's work on a request is done. */
  public void requestDone(StageTiming timing) {
    OfStage stage = of(timing.getStage());
    record(stage.queue, timing.getQueueMs());
    record(stage.compute, timing.getComputeMs());
    record(stage.transfer, timing.getTransferMs());
    stage.bytes.increment(timing.getBytesMoved());
    stage.done.increment();
  }

  /** A request ended before its time: cancelled or failed. */
  public void requestLost(io.epidote.proto.v1.Stage stage, String outcome) {
    of(stage).outcome(outcome).increment();
  }

  /** A model step ran over {@code size} tiles, prompt tokens or sequences. */
  public void step(io.epidote.proto.v1.Stage stage, long nanos, int size) {
    OfStage meters = of(stage);
    meters.step.record(nanos, TimeUnit.NANOSECONDS);
    meters.stepSize.record(size);
  }

  /** Requests could have been in a step, but it had as many adapters as it may. */
  public void passedOver(io.epidote.proto.v1.Stage stage, int requests) {
    of(stage).passedOver.increment(requests);
  }

  /** A running answer had to stop because an older one needs its KV blocks. */
  public void preempted() {
    preemptions.increment();
  }

  /** KV blocks went out to swap space. */
  public void swappedOut(int blocks) {
    swappedBlocks.increment(blocks);
  }

  /** Tiles of a request were looked up in the media-token cache. */
  public void tiles(int hits, int misses) {
    mediaHits.increment(hits);
    mediaMisses.increment(misses);
  }

  /** Tiles were dropped from the media-token cache to make room. */
  public void tilesEvicted(long tiles) {
    mediaEvictions.increment(tiles);
  }

  /** A prompt's beginning was looked up. */
  public void prefix(int cachedTokens, int promptTokens) {
    prefixHits.increment(cachedTokens);
    prefixQueries.increment(promptTokens);
  }

  /** A pull of one handle or several is over. */
  void pulled(PullEnd end) {
    switch (end) {
      case PullEnd.Pulled whole -> {
        pulls.record(whole.nanos(), TimeUnit.NANOSECONDS);
        pullsDone.increment();
      }
      case PullEnd.Failed _ -> pullsFailed.increment();
      case PullEnd.Cancelled _ -> pullsCancelled.increment();
    }
  }

  private Counter pullsBy(String outcome) {
    return counter(
        "epidote.pulls",
        "Pulls by how they ended; their duration is of those done",
        "outcome",
        outcome);
  }

  private static void record(Timer timer, double millis) {
    timer.record((long) (millis * 1e6), TimeUnit.NANOSECONDS);
  }

  private Timer timer(String name, String description, String... tags) {
    return Timer.builder(name)
        .description(description)
        .tags(tags)
        .serviceLevelObjectives(Buckets.times())
        .register(registry);
  }

  private Counter counter(String name, String description, String... tags) {
    return Counter.builder(name).description(description).tags(tags).register(registry);
  }

  private Counter tokens(String name, String description) {
    return Counter.builder(name).description(description).baseUnit("tokens").register(registry);
  }
}
