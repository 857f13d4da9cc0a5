package io.epidote.cli;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.scenes.SceneSet;
import io.epidote.scenes.Task;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "eval",
    description = {
      "Measures how often greedy answers are exactly right.",
      "Without --router it starts a cluster of its own, a process per node, and stops it again."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote eval scenes --count 500 --seed 7 --json",
      "  epidote eval scenes --nodes EPD",
      "  epidote eval scenes --adapters --json",
      "  epidote eval scenes --router localhost:8001",
      "  epidote eval scenes --router localhost:8001 --tls-ca ca.pem --api-key-file key.txt"
    })
final class EvalCommand implements Callable<Integer> {
  @Parameters(
      paramLabel = "SET",
      description = "What to evaluate on: scenes (pictures that the training never saw).")
  private String set = "";

  @Option(
      names = "--count",
      paramLabel = "N",
      description = "Questions to ask. Default: ${DEFAULT-VALUE}.")
  private int count = 500;

  @Option(
      names = "--seed",
      paramLabel = "N",
      description = "Chooses the pictures and questions. Default: ${DEFAULT-VALUE}.")
  private long seed = 7;

  @Option(
      names = "--concurrency",
      paramLabel = "N",
      description = "Questions asked at a time. Default: ${DEFAULT-VALUE}.")
  private int concurrency = 8;

  @Option(
      names = "--nodes",
      paramLabel = "LIST",
      description =
          "Nodes of the cluster to start, as letters of their stages. Default: ${DEFAULT-VALUE}.")
  private String nodes = "E,P,D";

  @Option(
      names = "--router",
      paramLabel = "HOST:PORT",
      description = "Ask this router instead of starting a cluster.")
  private String router = "";

  @Option(
      names = "--adapters",
      description =
          "Ask the questions of each adapter's own form instead, the adapter and the base both, and which adapter MODEL:auto chooses. Adapters and classifier come from models/scenes-adapters; with --router they must be loaded there.")
  private boolean adapters;

  @Option(names = "--wrong", description = "List the answers that were wrong on standard error.")
  private boolean wrong;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Mixin private ClusterOptions options = new ClusterOptions();
  @Mixin private KeyOptions key = new KeyOptions();

  private record Outcome(Task task, InferenceClient.Answer answer) {
    boolean exact() {
      return answer.text().strip().equals(task.answer());
    }
  }

  @Override
  public Integer call() {
    if (!set.equals("scenes")) {
      throw new InvalidRequest("There is no evaluation set '" + set + "'; expected: scenes");
    }
    if (count < 1 || concurrency < 1) {
      throw new InvalidRequest("--count and --concurrency must be at least 1");
    }
    if (adapters && router.isEmpty()) {
      AdapterEvaluation.addTo(options);
    }
    try (Progress progress = new Progress()) {
      if (!router.isEmpty()) {
        report(router, progress);
      } else {
        try (Cluster cluster =
            ProcessCluster.start(options.onAnyPort(), NodeSpec.parseList(nodes), progress)) {
          report(cluster.grpcAddress(), progress);
        }
      }
    }
    return 0;
  }

  /** Who asks: whoever knows a cluster of this command's own, or another's client. */
  private ConnectionOptions as() {
    return ConnectionOptions.of(options.node.tls, key);
  }

  private void report(String address, Progress progress) {
    if (adapters) {
      Report found = new AdapterEvaluation(address, as(), count, seed, concurrency, progress).run();
      if (json) {
        found.print(System.out);
      } else {
        found.printTable(System.out);
      }
    } else {
      report(ask(address, progress));
    }
  }

  private List<Outcome> ask(String address, Progress progress) {
    AtomicInteger done = new AtomicInteger();
    SamplingParams greedy = SamplingParams.newBuilder().setTemperature(0).build();
    try (InferenceClient client = new InferenceClient(address, as());
        ExecutorService clients = Executors.newFixedThreadPool(concurrency);
        Stream<Task> tasks = SceneSet.heldOut(seed).limit(count)) {
      List<Future<Outcome>> futures = new ArrayList<>();
      tasks.forEach(task ->
          futures.add(
              clients.submit(() -> {
                List<byte[]> pictures = task.pictures().stream().map(EvalCommand::png).toList();
                Outcome outcome =
                    new Outcome(
                        task,
                        client.generate(
                            InferenceClient.question("", pictures, task.question(), greedy),
                            text -> {}));
                progress.update("asked %d of %d".formatted(done.incrementAndGet(), count));
                return outcome;
              })));
      List<Outcome> outcomes = new ArrayList<>();
      for (Future<Outcome> future : futures) {
        try {
          outcomes.add(future.get());
        } catch (ExecutionException e) {
          clients.shutdownNow();
          if (e.getCause() instanceof EpidoteException known) {
            throw known;
          }
          throw new EpidoteException.Internal("A question failed: " + e.getCause(), e);
        } catch (InterruptedException e) {
          clients.shutdownNow();
          Thread.currentThread().interrupt();
          throw new EpidoteException.Unavailable("Interrupted", e);
        }
      }
      return outcomes;
    }
  }

  static byte[] png(BufferedImage picture) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try {
      ImageIO.write(picture, "png", bytes);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  private void report(List<Outcome> outcomes) {
    Map<String, int[]> byKind = new LinkedHashMap<>();
    for (Outcome outcome : outcomes) {
      int[] tally = byKind.computeIfAbsent(outcome.task().kind().word(), kind -> new int[2]);
      tally[0] += outcome.exact() ? 1 : 0;
      tally[1]++;
      if (wrong && !outcome.exact()) {
        System.err.printf(
            "%s: expected '%s', got '%s'%n",
            outcome.task().question(), outcome.task().answer(), outcome.answer().text());
      }
    }
    double least = byKind.values().stream().mapToDouble(EvalCommand::share).min().orElseThrow();
    double ttft =
        outcomes.stream()
            .mapToDouble(outcome -> outcome.answer().firstTextMillis())
            .sorted()
            .skip(outcomes.size() / 2)
            .findFirst()
            .orElseThrow();
    if (json) {
      Report report = new Report("eval").figure("exact_min", least);
      byKind.forEach((kind, tally) -> report.figure("exact_" + kind, share(tally)));
      report.figure("count", outcomes.size()).figure("ttft_p50_ms", ttft).print(System.out);
      return;
    }
    byKind.forEach((kind, tally) ->
        System.out.printf(
            Locale.ROOT, "%-10s %5.1f %% exact of %d%n", kind, share(tally) * 100, tally[1]));
    System.out.printf(
        Locale.ROOT, "first token p50 %.0f ms over %d questions%n", ttft, outcomes.size());
  }

  private static double share(int[] tally) {
    return (double) tally[0] / tally[1];
  }
}
