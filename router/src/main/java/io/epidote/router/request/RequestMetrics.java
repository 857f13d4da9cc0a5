package io.epidote.router.request;

import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.proto.v1.Timeline;
import io.epidote.router.cluster.StageNames;
import io.epidote.router.cluster.Topology;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.time.Duration;
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
  private static final Duration[] BUCKETS = {
    Duration.ofMillis(5),
    Duration.ofMillis(10),
    Duration.ofMillis(20),
    Duration.ofMillis(40),
    Duration.ofMillis(80),
    Duration.ofMillis(160),
    Duration.ofMillis(320),
    Duration.ofMillis(640),
    Duration.ofMillis(1280),
    Duration.ofMillis(2560),
    Duration.ofMillis(5120),
    Duration.ofMillis(10240),
    Duration.ofMillis(20480),
    Duration.ofMillis(40960),
    Duration.ofMillis(81920)
  };

  private final MeterRegistry meters;
  private final String model;
  private final Timer timeToFirstToken;
  private final Timer timePerOutputToken;
  private final Timer interTokenLatency;
  private final Timer endToEnd;
  private final Counter promptTokens;
  private final Counter generationTokens;

  // Finding a meter in the registry by name and tags takes longer than recording: once is enough.
  private final Map<Stage, StageMeters> stages = new ConcurrentHashMap<>();
  private final Map<String, Counter> topologies = new ConcurrentHashMap<>();
  private final Map<FinishReason, Counter> successes = new ConcurrentHashMap<>();

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
  }

  /** A request would have missed its target. */
  void refusedLate() {
    counter(
            "epidote_requests_refused_late",
            "Requests that were refused because their first token would have missed its target")
        .increment();
  }

  Recording arrived(long arrivalNanos) {
    return new Recording(arrivalNanos);
  }

  private Timer timer(String name, String description, String... tags) {
    return Timer.builder(name)
        .description(description)
        .tag("model_name", model)
        .tags(tags)
        .serviceLevelObjectives(BUCKETS)
        .register(meters);
  }

  private Counter counter(String name, String description, String... tags) {
    return Counter.builder(name)
        .description(description)
        .tag("model_name", model)
        .tags(tags)
        .register(meters);
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
    private long admitted;
    private long firstToken;
    private long lastToken;
    private int tokens;
    private boolean refused;

    private Recording(long arrival) {
      this.arrival = arrival;
    }

    void admitted() {
      admitted = System.nanoTime();
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
        timeToFirstToken.record(now - arrival, TimeUnit.NANOSECONDS);
      } else {
        interTokenLatency.record((now - lastToken) / count, TimeUnit.NANOSECONDS);
      }
      lastToken = now;
      tokens += count;
      generationTokens.increment(count);
    }

    /** The request would have missed its target. */
    void refusedLate() {
      refused = true;
      RequestMetrics.this.refusedLate();
    }

    /** A stage was lost, and is run again. */
    void lost(Stage stage) {
      counter(
              "epidote_request_recoveries",
              "Stages of requests that were lost and run again elsewhere",
              "stage",
              StageNames.of(stage))
          .increment();
    }

    void stage(StageTiming timing) {
      stages
          .computeIfAbsent(timing.getStage(), stage -> new StageMeters(StageNames.of(stage)))
          .record(timing);
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
      endToEnd.record(System.nanoTime() - arrival, TimeUnit.NANOSECONDS);
      promptTokens.increment(prompt);
      if (tokens > 1) {
        timePerOutputToken.record((lastToken - firstToken) / (tokens - 1), TimeUnit.NANOSECONDS);
      }
      if (reason == null) {
        counter("epidote_request_failures", "Requests that ended with an error").increment();
      } else {
        successes
            .computeIfAbsent(
                reason,
                why ->
                    counter(
                        "vllm:request_success",
                        "Requests that ended in order",
                        "finished_reason",
                        why.name().substring("FINISH_REASON_".length()).toLowerCase(Locale.ROOT)))
            .increment();
      }
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
