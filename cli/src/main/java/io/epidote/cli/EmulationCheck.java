package io.epidote.cli;

import io.epidote.engine.cost.CostStage;
import io.epidote.engine.error.EpidoteException.Unavailable;
import io.epidote.proto.v1.GenerateRequest;
import java.util.Locale;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

/**
 * How far emulated steps are off what their profile says while thousands of requests are under way:
 * eight devices of a profile that ships, and as many clients as requests.
 */
final class EmulationCheck {
  private static final String PROFILE = "minicpm-v-2.6-a100";
  private static final String NODES = "E,E,P,P,P,D,D,D";
  private static final int WORDS = 64;
  private static final int ANSWER = 16;

  /** Every so many requests have a picture of one tile. */
  private static final int PICTURE_EVERY = 8;

  private static final int WARM_UP = 512;

  private final int requests;
  private final double timeScale;
  private final HeaderPictures from = new HeaderPictures(11);

  EmulationCheck(int requests, double timeScale) {
    this.requests = requests;
    this.timeScale = timeScale;
  }

  Report run(Progress progress) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(Home.profile(PROFILE));
    options.node.emulation.timeScale = timeScale;
    options.router.maxRequests = requests;
    try (Cluster cluster = LocalCluster.start(options, NodeSpec.parseList(NODES), progress);
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      progress.update("warming up");
      load(client, WARM_UP);
      options.node.emulation.audit.forget();
      progress.update(requests + " requests at a time");
      long start = System.nanoTime();
      int most = load(client, requests);
      double seconds = (System.nanoTime() - start) / 1e9;
      Report report =
          new Report("profile")
              .figure("concurrent_requests", most)
              .figure("time_scale", timeScale)
              .figure("seconds", Report.rounded(seconds));
      double worst = 0;
      for (CostStage stage : CostStage.values()) {
        double error = options.node.emulation.audit.error(stage);
        worst = Math.max(worst, error);
        String word = stage.name().toLowerCase(Locale.ROOT);
        report
            .figure("steps_" + word, options.node.emulation.audit.steps(stage))
            .figure("timing_error_" + word, Report.rounded(error));
      }
      return report.figure("timing_error", Report.rounded(worst));
    }
  }

  /** Sends all at once and waits for all; the most that were under way. */
  private int load(InferenceClient client, int count) {
    AtomicInteger running = new AtomicInteger();
    AtomicInteger most = new AtomicInteger();
    AtomicInteger failed = new AtomicInteger();
    try (ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
      IntStream.range(0, count)
          .forEach(i -> {
            GenerateRequest request =
                from.request(i % PICTURE_EVERY == 0 ? 1 : 0, 448, 336, WORDS, ANSWER);
            clients.execute(() -> {
              most.accumulateAndGet(running.incrementAndGet(), Math::max);
              try {
                client.generate(request, text -> {});
              } catch (RuntimeException e) {
                if (failed.getAndIncrement() == 0) {
                  System.err.println("epidote: " + e.getMessage());
                }
              } finally {
                running.decrementAndGet();
              }
            });
          });
    }
    if (failed.get() > 0) {
      throw new Unavailable(
          "%d of %d requests failed; the check needs all of them".formatted(failed.get(), count));
    }
    return most.get();
  }
}
