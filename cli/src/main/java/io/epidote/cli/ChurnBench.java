package io.epidote.cli;

import static java.util.Objects.requireNonNull;

import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.LoadAdapterRequest;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.TextPrompt;
import io.epidote.proto.v1.Timeline;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

/**
 * Loads and unloads adapters of a cluster in a loop while clients stream. Phases in which nothing
 * is loaded alternate with those in which it is, so that both see the same machine. An adapter that
 * comes is asked something, and goes while it answers.
 */
final class ChurnBench {
  /** Loaded all the time. */
  private static final String STEADY = "churn-steady";

  /** Comes, is asked, and goes. */
  private static final String ASKED = "churn-asked";

  /** Comes and goes as fast as it can. */
  private static final String IDLE = "churn-idle";

  private final Cluster cluster;
  private final String model;
  private final List<Path> adapters;
  private final int clients;
  private final int tokens;

  /** Odd while adapters are loaded; those that began in another one are not compared. */
  private final AtomicLong phase = new AtomicLong();

  private final AtomicInteger prompts = new AtomicInteger();
  private final AtomicInteger loads = new AtomicInteger();
  private final List<Double> loadMillis = Collections.synchronizedList(new ArrayList<>());
  private final List<String> failures = Collections.synchronizedList(new ArrayList<>());
  private final List<Double> quiet = Collections.synchronizedList(new ArrayList<>());
  private final List<Double> loading = Collections.synchronizedList(new ArrayList<>());
  private volatile boolean over;

  /**
   * @param adapters folders of three different ones
   * @param clients that stream all the time
   * @param tokens of an answer
   */
  ChurnBench(Cluster cluster, String model, List<Path> adapters, int clients, int tokens) {
    this.cluster = requireNonNull(cluster, "cluster is null");
    this.model = model;
    this.adapters = List.copyOf(adapters);
    this.clients = clients;
    this.tokens = tokens;
  }

  /**
   * @param quiet milliseconds a token of answers while nothing was loaded
   * @param loading of answers while adapters came and went
   * @param loads of adapters
   * @param loadMillis that each took
   * @param failures of requests, loads and unloads, by their messages
   * @param slotsLeaked that adapters have on some node when all are unloaded
   */
  record Result(
      List<Double> quiet,
      List<Double> loading,
      int loads,
      List<Double> loadMillis,
      List<String> failures,
      int slotsLeaked) {
    static double percentile(List<Double> values, int percent) {
      List<Double> sorted = values.stream().sorted().toList();
      return sorted.isEmpty()
          ? Double.NaN
          : sorted.get(Math.ceilDiv(sorted.size() * percent, 100) - 1);
    }
  }

  Result run(Duration each, int phases, Progress progress) throws InterruptedException {
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress());
        InferenceClient admin = new InferenceClient(cluster.adminAddress());
        ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      int before = slotsLent(client);
      load(admin, STEADY, 0);
      // What runs for the first time is packed, compiled and mapped.
      load(admin, ASKED, 1);
      load(admin, IDLE, 2);
      ask(client, STEADY, () -> {});
      unload(admin, ASKED);
      unload(admin, IDLE);
      List<CompletableFuture<Void>> running = new ArrayList<>();
      for (int i = 0; i < clients; i++) {
        String adapter = i % 2 == 0 ? "" : STEADY;
        running.add(
            CompletableFuture.runAsync(() -> until(() -> ask(client, adapter, () -> {})), threads));
      }
      running.add(CompletableFuture.runAsync(() -> until(() -> cycle(client, admin)), threads));
      running.add(CompletableFuture.runAsync(() -> until(() -> comeAndGo(admin)), threads));
      for (int i = 0; i < phases; i++) {
        progress.update("phase %d of %d, %d loads".formatted(i + 1, phases, loads.get()));
        Thread.sleep(each);
        phase.incrementAndGet();
      }
      over = true;
      running.forEach(CompletableFuture::join);
      unload(admin, STEADY);
      return new Result(
          List.copyOf(quiet),
          List.copyOf(loading),
          loads.get(),
          List.copyOf(loadMillis),
          List.copyOf(failures),
          leaked(client, before));
    }
  }

  private void until(Runnable round) {
    while (!over) {
      try {
        round.run();
      } catch (RuntimeException e) {
        failures.add(String.valueOf(e.getMessage()));
        LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(50));
      }
    }
  }

  private boolean isLoading() {
    return phase.get() % 2 == 1;
  }

  /** One client more, whose adapter comes before its answer and goes with its first token. */
  private void cycle(InferenceClient client, InferenceClient admin) {
    if (!isLoading()) {
      ask(client, STEADY, () -> {});
      return;
    }
    load(admin, ASKED, 1 + loads.get() % 2);
    CountDownLatch first = new CountDownLatch(1);
    CompletableFuture<Void> going =
        CompletableFuture.runAsync(() -> {
          try {
            if (first.await(1, TimeUnit.MINUTES)) {
              unload(admin, ASKED);
            }
          } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
          }
        });
    try {
      ask(client, ASKED, first::countDown);
    } finally {
      first.countDown();
      going.join();
    }
  }

  private void comeAndGo(InferenceClient admin) {
    if (isLoading()) {
      load(admin, IDLE, 1 + loads.get() % 2);
      unload(admin, IDLE);
    }
    LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(100));
  }

  private void ask(InferenceClient client, String adapter, Runnable onFirst) {
    long began = phase.get();
    GenerateRequest request =
        GenerateRequest.newBuilder()
            .setModel(adapter.isEmpty() ? model : model + ":" + adapter)
            .setText(
                TextPrompt.newBuilder()
                    .setText(
                        "%d what color is the circle and how many are there"
                            .formatted(prompts.incrementAndGet())))
            .setSampling(
                SamplingParams.newBuilder()
                    .setTemperature(0)
                    .setMaxTokens(tokens)
                    .setIgnoreEos(true))
            .build();
    InferenceClient.Answer answer = client.generate(request, _ -> onFirst.run());
    if (answer.tokenIds().size() != tokens) {
      failures.add("%d tokens came, not %d".formatted(answer.tokenIds().size(), tokens));
    }
    if (began == phase.get()) {
      Timeline timeline = answer.finished().getTimeline();
      (began % 2 == 0 ? quiet : loading)
          .add((timeline.getTotalMs() - timeline.getTtftMs()) / (tokens - 1));
    }
  }

  private void load(InferenceClient admin, String name, int adapter) {
    long start = System.nanoTime();
    var unused =
        admin.loadAdapter(
            LoadAdapterRequest.newBuilder()
                .setName(name)
                .setFolder(adapters.get(adapter).toAbsolutePath().toString())
                .build());
    loadMillis.add((System.nanoTime() - start) / 1e6);
    loads.incrementAndGet();
  }

  private static void unload(InferenceClient admin, String name) {
    admin.unloadAdapter(name);
  }

  /** What was unloaded is freed soon after its last request. */
  private static int leaked(InferenceClient client, int before) {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
    int more;
    do {
      more = slotsLent(client) - before;
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(50));
    } while (more != 0 && System.nanoTime() < deadline);
    return more;
  }

  private static int slotsLent(InferenceClient client) {
    return client.load().getNodesList().stream()
        .map(NodeStatus::getExperts)
        .mapToInt(experts -> experts.getSlotsLent())
        .sum();
  }
}
