package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.metrics.Buckets;
import io.epidote.node.trace.Exemplars;
import io.epidote.node.trace.OpenSpan;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.proto.v1.Timeline;
import io.epidote.router.cluster.StageNames;
import io.epidote.router.cluster.Topology;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * What is measured of requests: vLLM's names for what vLLM has, so that its dashboards work, and
 * {@code epidote_} names for the stages. Thread-safe; a {@link Recording} is for one request.
 */
final class RequestMetrics {
  private final MeterRegistry meters;
  private final String model;
  private final Timer timeToFirstToken;
  private final Timer timePerOutputToken;
  private final Timer interTokenLatency;
  private final Timer endToEnd;
  private final Counter promptTokens;
  private final Counter generationTokens;
  private final Timer queueTime;
  private final Timer prefillTime;
  private final Timer decodeTime;
  private final Timer inferenceTime;
  private final DistributionSummary requestPromptTokens;
  private final DistributionSummary requestGenerationTokens;
  private final Counter prefixQueries;
  private final Counter prefixHits;
  private final Counter mediaQueries;
  private final Counter mediaHits;
  private final Counter refusedLate;

  // Finding a meter in the registry by name and tags takes longer than recording: once is enough.
  private final Map<Stage, StageMeters> stages = new ConcurrentHashMap<>();
  private final Map<String, Counter> topologies = new ConcurrentHashMap<>();
  private final Map<FinishReason, Counter> successes = new ConcurrentHashMap<>();
  private final Map<String, Counter> failures = new ConcurrentHashMap<>();
  private final Map<Stage, Counter> recoveries = new ConcurrentHashMap<>();
  private final TargetCounts ttftTargets;
  private final TargetCounts tpotTargets;

  RequestMetrics(MeterRegistry meters, String model, Admission admission) {
    this.meters = meters;
    this.model = model;
    Gauge.builder("vllm:num_requests_running", admission, Admission::running)
        .description("Requests that are at work")
        .tag("model_name", model)
        .register(meters);
    Gauge.builder("vllm:num_requests_waiting", admission, Admission::waiting)
        .description("Requests that wait to be admitted")
        .tag("model_name", model)
        .register(meters);
    timeToFirstToken = timer("vllm:time_to_first_token", "From arrival to the first token");
    timePerOutputToken =
        timer("vllm:time_per_output_token", "Mean time between tokens after the first, by request");
    interTokenLatency = timer("vllm:inter_token_latency", "Time between two tokens of an answer");
    endToEnd = timer("vllm:e2e_request_latency", "From arrival to the end");
    promptTokens = counter("vllm:prompt_tokens", "Prompt tokens of requests that ended");
    generationTokens = counter("vllm:generation_tokens", "Tokens generated");
    queueTime =
        timer(
            "vllm:request_queue_time",
            "Waiting before the first computation: for admission, and at encode and prefill nodes");
    prefillTime =
        timer(
            "vllm:request_prefill_time",
            "From the end of waiting to the first token: encode, prefill and transfers");
    decodeTime = timer("vllm:request_decode_time", "From the first token to the last");
    inferenceTime =
        timer("vllm:request_inference_time", "From the end of waiting to the last token");
    requestPromptTokens =
        tokens("vllm:request_prompt_tokens", "Prompt tokens of a request, those of media included");
    requestGenerationTokens =
        tokens("vllm:request_generation_tokens", "Tokens of a request's answers");
    prefixQueries =
        counter(
            "vllm:prefix_cache_queries", "Prompt tokens that were looked up in the prefix cache");
    prefixHits =
        counter("vllm:prefix_cache_hits", "Prompt tokens that were found in the prefix cache");
    mediaQueries =
        counter("vllm:mm_cache_queries", "Tiles that were looked up in the media-token cache");
    mediaHits = counter("vllm:mm_cache_hits", "Tiles that were found in the media-token cache");
    refusedLate =
        counter(
            "epidote_requests_refused_late",
            "Requests that were refused because their first token would have missed its target");
    ttftTargets = new TargetCounts("ttft");
    tpotTargets = new TargetCounts("tpot");
    // There before the first of them: what a counter counted before it was seen is not known.
    StageNames.ALL.forEach(this::stage);
    StageNames.ALL.forEach(this::recoveries);
    ErrorKinds.ALL.forEach(this::failures);
    List.of(
            FinishReason.FINISH_REASON_STOP,
            FinishReason.FINISH_REASON_LENGTH,
            FinishReason.FINISH_REASON_ABORT)
        .forEach(this::successes);
  }

  /** A request would have missed its target. */
  void refusedLate() {
    refusedLate.increment();
  }

  Recording arrived(long arrivalNanos, OpenSpan span) {
    return new Recording(arrivalNanos, span);
  }

  private Timer timer(String name, String description, String... tags) {
    return Timer.builder(name)
        .description(description)
        .tag("model_name", model)
        .tags(tags)
        .serviceLevelObjectives(Buckets.times())
        .register(meters);
  }

  private Counter counter(String name, String description, String... tags) {
    return Counter.builder(name)
        .description(description)
        .tag("model_name", model)
        .tags(tags)
        .register(meters);
  }

  private DistributionSummary tokens(String name, String description) {
    return DistributionSummary.builder(name)
        .description(description)
        .tag("model_name", model)
        .serviceLevelObjectives(Buckets.counts())
        .register(meters);
  }

  private StageMeters stage(Stage stage) {
    return stages.computeIfAbsent(stage, kind -> new StageMeters(StageNames.of(kind)));
  }

  private Counter recoveries(Stage stage) {
    return recoveries.computeIfAbsent(
        stage,
        kind ->
            counter(
                "epidote_request_recoveries",
                "Stages of requests that were lost and run again elsewhere",
                "stage",
                StageNames.of(kind)));
  }

  private Counter failures(String kind) {
    return failures.computeIfAbsent(
        kind,
        each ->
            counter(
                "epidote_request_failures",
                "Requests that ended with an error, or were refused",
                "kind",
                each));
  }

  private Counter successes(FinishReason reason) {
    return successes.computeIfAbsent(
        reason,
        why ->
            counter(
                "vllm:request_success",
                "Requests that ended in order",
                "finished_reason",
                why.name().substring("FINISH_REASON_".length()).toLowerCase(Locale.ROOT)));
  }

  /** A request is refused, or ends, with this error. */
  void failed(EpidoteException error) {
    failures(ErrorKinds.of(error)).increment();
  }

  /** Requests with a target that was met, and that was missed. */
  private final class TargetCounts {
    private final Counter met;
    private final Counter missed;

    TargetCounts(String target) {
      met = outcome(target, "met");
      missed = outcome(target, "missed");
    }

    private Counter outcome(String target, String outcome) {
      return counter(
          "epidote_slo_requests",
          "Requests with a target, by whether it was met",
          "target",
          target,
          "outcome",
          outcome);
    }

    void count(OptionalDouble targetMs, double ms) {
      if (targetMs.isPresent()) {
        (ms <= targetMs.getAsDouble() ? met : missed).increment();
      }
    }
  }

  /** Of one stage. */
  private final class StageMeters {
    private final Timer queue;
    private final Timer compute;
    private final Timer transfer;
    private final Timer overlappedCompute;
    private final Timer overlappedTransfer;
    private final Timer handoff;
    private final Counter bytes;

    StageMeters(String stage) {
      queue = timer("queue", "Waiting before a stage's first computation", stage);
      compute = timer("compute", "Steps that worked on a request", stage);
      transfer = timer("transfer", "Pulling a stage's input", stage);
      overlappedCompute =
          timer(
              "overlapped_compute",
              "Steps that worked on a request while the stage before did, too",
              stage);
      overlappedTransfer =
          timer(
              "overlapped_transfer",
              "Pulling a stage's input while the stage before worked on the request",
              stage);
      handoff =
          timer("handoff", "From a stage's last input to its first computation with it", stage);
      bytes =
          counter("epidote_stage_transfer_bytes", "Bytes pulled from other nodes", "stage", stage);
    }

    private Timer timer(String what, String description, String stage) {
      return RequestMetrics.this.timer("epidote_stage_" + what, description, "stage", stage);
    }

    void record(StageTiming timing) {
      record(queue, timing.getQueueMs());
      record(compute, timing.getComputeMs());
      record(transfer, timing.getTransferMs());
      record(overlappedCompute, timing.getOverlappedComputeMs());
      record(overlappedTransfer, timing.getOverlappedTransferMs());
      record(handoff, timing.getHandoffMs());
      bytes.increment(timing.getBytesMoved());
    }

    private static void record(Timer timer, double ms) {
      timer.record((long) (ms * 1e6), TimeUnit.NANOSECONDS);
    }
  }

  /** The clock of one request. Used within its turn; durations are of this process alone. */
  final class Recording {
    private final long arrival;
    private final OpenSpan span;
    private Slo slo = Slo.NONE;
    private long place;
    private double encodeQueueMs;
    private double prefillQueueMs;
    private long admitted;
    private long firstToken;
    private long lastToken;
    private int tokens;
    private boolean refused;

    private Recording(long arrival, OpenSpan span) {
      this.arrival = arrival;
      this.span = span;
    }

    /** It waits for admission no longer. */
    void hasPlace() {
      place = System.nanoTime();
    }

    /**
     * @param targets that it has from its arrival
     */
    void admitted(Slo targets) {
      admitted = System.nanoTime();
      slo = targets;
    }

    /** An answer's nodes are chosen. */
    void placed(Topology topology) {
      topologies
          .computeIfAbsent(
              topology.label(),
              label ->
                  counter(
                      "epidote_request_topology",
                      "Answers by which of their stages shared a node",
                      "topology",
                      label))
          .increment();
    }

    void tokens(int count) {
      if (count == 0) {
        return;
      }
      long now = System.nanoTime();
      if (tokens == 0) {
        firstToken = now;
        record(timeToFirstToken, now - arrival);
      } else {
        record(interTokenLatency, (now - lastToken) / count);
      }
      lastToken = now;
      tokens += count;
      generationTokens.increment(count);
    }

    /** With the request's trace beside it, when it has one. */
    private void record(Timer timer, long nanos) {
      if (span == OpenSpan.NONE) {
        timer.record(nanos, TimeUnit.NANOSECONDS);
      } else {
        Exemplars.record(span, () -> timer.record(nanos, TimeUnit.NANOSECONDS));
      }
    }

    /** The request would have missed its target. */
    void refusedLate() {
      refused = true;
      RequestMetrics.this.refusedLate();
    }

    /** A stage was lost, and is run again. */
    void lost(Stage stage) {
      recoveries(stage).increment();
    }

    void stage(StageTiming timing) {
      RequestMetrics.this.stage(timing.getStage()).record(timing);
      int units = timing.getUnits() + timing.getCachedUnits();
      switch (timing.getStage()) {
        case STAGE_ENCODE -> {
          encodeQueueMs = Math.max(encodeQueueMs, timing.getQueueMs());
          mediaQueries.increment(units);
          mediaHits.increment(timing.getCachedUnits());
        }
        case STAGE_PREFILL -> {
          prefillQueueMs = Math.max(prefillQueueMs, timing.getQueueMs());
          prefixQueries.increment(units);
          prefixHits.increment(timing.getCachedUnits());
        }
        case STAGE_DECODE, STAGE_UNSPECIFIED, UNRECOGNIZED -> {}
      }
    }

    /** The router's part of a timeline. */
    Timeline.Builder timeline() {
      Timeline.Builder timeline = Timeline.newBuilder().setTotalMs(sinceArrival(System.nanoTime()));
      if (admitted != 0) {
        timeline.setRouterMs(sinceArrival(admitted));
      }
      if (tokens > 0) {
        timeline.setTtftMs(sinceArrival(firstToken));
      }
      return timeline;
    }

    void ended(@Nullable FinishReason reason, int prompt) {
      if (refused) {
        // It was not served, and is counted already.
        return;
      }
      record(endToEnd, System.nanoTime() - arrival);
      promptTokens.increment(prompt);
      if (tokens > 1) {
        long each = (lastToken - firstToken) / (tokens - 1);
        record(timePerOutputToken, each);
        tpotTargets.count(slo.tpotMs(), each / 1e6);
      }
      if (tokens > 0) {
        ttftTargets.count(slo.ttftMs(), sinceArrival(firstToken));
      }
      if (reason == FinishReason.FINISH_REASON_STOP
          || reason == FinishReason.FINISH_REASON_LENGTH) {
        phases(prompt);
      }
      if (reason != null) {
        successes(reason).increment();
      }
    }

    /** Of an answer that is complete, as vLLM divides it. */
    private void phases(int prompt) {
      requestPromptTokens.record(prompt);
      requestGenerationTokens.record(tokens);
      long queued = place - arrival + (long) ((encodeQueueMs + prefillQueueMs) * 1e6);
      long prefill = Math.max(0, firstToken - arrival - queued);
      queueTime.record(queued, TimeUnit.NANOSECONDS);
      prefillTime.record(prefill, TimeUnit.NANOSECONDS);
      decodeTime.record(lastToken - firstToken, TimeUnit.NANOSECONDS);
      inferenceTime.record(prefill + lastToken - firstToken, TimeUnit.NANOSECONDS);
    }

    /** To the first token, when there was one. */
    OptionalDouble ttftMs() {
      return tokens == 0 ? OptionalDouble.empty() : OptionalDouble.of(sinceArrival(firstToken));
    }

    /** Of a token after the first, on average, when there were any. */
    OptionalDouble tpotMs() {
      return tokens < 2
          ? OptionalDouble.empty()
          : OptionalDouble.of((lastToken - firstToken) / 1e6 / (tokens - 1));
    }

    /** Milliseconds since the request arrived. */
    double ageMs() {
      return sinceArrival(System.nanoTime());
    }

    private double sinceArrival(long nanos) {
      return (nanos - arrival) / 1e6;
    }
  }
}
