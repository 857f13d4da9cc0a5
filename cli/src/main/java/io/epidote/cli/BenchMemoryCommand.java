package io.epidote.cli;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.Unavailable;
import io.epidote.engine.image.ImageLimits;
import io.epidote.engine.image.ImageProcessor;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Precision;
import io.epidote.proto.v1.MemoryUse;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.SamplingParams;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
    name = "memory",
    description = {
      "How many pictures fit a request, and how many tokens have keys and values, when each node has the same",
      "memory: stages apart against one node of all stages. Every node is started as a process and asked one",
      "question with a picture; what it holds then, without media tokens and KV blocks, is what it always holds.",
      "A second table is computed for the paper's model from its published shape. Linux only."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote bench memory --precision int8",
      "  epidote bench memory --precision fp32 --limit 4GiB --json"
    })
final class BenchMemoryCommand implements Callable<Integer> {
  /** Memory is measured every two seconds. */
  private static final Duration MEASURED = Duration.ofSeconds(5);

  /** Kinds that follow from what is served, and that the limit leaves room for. */
  private static final List<String> SERVED = List.of("kv", "swap", "media");

  private static final int WIDTH = 4032;
  private static final int HEIGHT = 3024;

  @Option(
      names = "--model",
      paramLabel = "DIR|SHAPE",
      description = "A model folder, or a shape with random weights. Default: ${DEFAULT-VALUE}.")
  private String model = "smolvlm-256m";

  @Option(
      names = "--precision",
      paramLabel = "P",
      converter = PrecisionConverter.class,
      description = "fp32, int8 or int4. Default: ${DEFAULT-VALUE}.")
  private Precision precision = Precision.FP32;

  @Option(
      names = "--limit",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description = "Memory of each node. Default: 2GiB.")
  private Bytes limit = new Bytes(2L << 30);

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Override
  public Integer call() {
    MemoryShare measured;
    try (Progress progress = new Progress()) {
      measured = measure(progress);
    }
    if (measured.held().aggregated() >= limit.value()) {
      throw new InvalidRequest(
          "A node of all stages holds %s before it serves anything; --limit must be above that"
              .formatted(Bytes.words(measured.held().aggregated())));
    }
    List<MemoryShare> shares = List.of(measured, paper());
    if (json) {
      Report report =
          new Report("bench memory")
              .figure("memory_limit_mib", limit.value() >> 20)
              .figure("pictures_epd", measured.apartPictures())
              .figure("pictures_aggregated", measured.aggregatedPictures())
              .figure(
                  "pictures_ratio",
                  MemoryShare.ratio(measured.apartPictures(), measured.aggregatedPictures()))
              .figure(
                  "pictures_encode_ratio",
                  MemoryShare.ratio(measured.encodePictures(), measured.aggregatedPictures()))
              .figure("kv_tokens_epd", measured.prefillKvTokens())
              .figure("kv_tokens_aggregated", measured.aggregatedKvTokens())
              .figure(
                  "kv_tokens_ratio",
                  MemoryShare.ratio(measured.prefillKvTokens(), measured.aggregatedKvTokens()));
      shares.forEach(share -> report.row(share.row()));
      report.print(System.out);
    } else {
      shares.forEach(share -> System.out.println(share.text()));
    }
    return 0;
  }

  /**
   * MiniCPM-V 2.6 on an accelerator of 80 GB, in bfloat16, from its published shape: Qwen2-7B (7.6
   * B parameters, 28 layers, 4 KV heads of 128) and SigLIP-400M with a resampler (0.5 B), 64 tokens
   * of 3584 for each of at most 9 slices and an overview. What a step works in is not published and
   * left out.
   */
  private static MemoryShare paper() {
    long decoder = 15_200_000_000L;
    long vision = 1_000_000_000L;
    return new MemoryShare(
        "MiniCPM-V 2.6, bfloat16, weights alone (computed)",
        80_000_000_000L,
        new MemoryShare.Held(vision, decoder, decoder, decoder + vision),
        new MemoryShare.Picture(10, 64, 64 * 3584 * 2),
        2L * 28 * 4 * 128 * 2,
        0);
  }

  private MemoryShare measure(Progress progress) {
    Path folder = Home.modelOrShape(model, progress);
    Map<String, NodeStatus> apart = nodes(folder, "E,P,D", progress);
    NodeStatus together = nodes(folder, "EPD", progress).values().iterator().next();
    NodeStatus encode = node(apart, "encode-0");
    NodeStatus prefill = node(apart, "prefill-0");
    try (Checkpoint checkpoint = Checkpoint.open(folder, Home.cache())) {
      ModelConfig config = checkpoint.config();
      int tiles =
          ImageProcessor.open(folder, config, ImageLimits.defaults()).plan(WIDTH, HEIGHT).tiles();
      int edge = config.vision().orElseThrow().imageSize();
      int atOnce = Math.max(1, Math.min(encode.getEncode().getBatch(), tiles));
      return new MemoryShare(
          "%s %s (measured)".formatted(model, precision.word()),
          limit.value(),
          new MemoryShare.Held(
              held(encode), held(prefill), held(node(apart, "decode-0")), held(together)),
          new MemoryShare.Picture(tiles, config.tileTokens(), encode.getMediaBlockBytes()),
          prefill.getKvBlockBytes() / DecoderShape.BLOCK_TOKENS,
          use(encode, "activations") / atOnce + 3L * edge * edge * Float.BYTES);
    }
  }

  private static NodeStatus node(Map<String, NodeStatus> nodes, String name) {
    NodeStatus node = nodes.get(name);
    if (node == null) {
      throw new Unavailable("The node %s is gone; run the measurement again".formatted(name));
    }
    return node;
  }

  private static long held(NodeStatus node) {
    return node.getResidentBytes() - SERVED.stream().mapToLong(kind -> use(node, kind)).sum();
  }

  private static long use(NodeStatus node, String kind) {
    return node.getMemoryList().stream()
        .filter(use -> use.getKind().equals(kind))
        .mapToLong(MemoryUse::getBytes)
        .sum();
  }

  /** Nodes of these stages that have answered, by name. */
  private Map<String, NodeStatus> nodes(Path folder, String stages, Progress progress) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.model.folder = folder;
    options.node.precisions = StagePrecisions.all(precision);
    options.node.kvCache = new Bytes(512 << 20);
    try (Cluster cluster = ProcessCluster.start(options, NodeSpec.parseList(stages), progress);
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      progress.update(stages + ": a question");
      client.generate(
          InferenceClient.question(
              "",
              List.of(EvalCommand.png(new FreshPictures().picture(WIDTH, HEIGHT))),
              "what is in the picture?",
              SamplingParams.newBuilder().setTemperature(0).setMaxTokens(8).build()),
          text -> {});
      progress.update(stages + ": memory is measured");
      Thread.sleep(MEASURED);
      return client.load().getNodesList().stream()
          .collect(Collectors.toMap(NodeStatus::getNodeId, node -> node));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new Unavailable("Interrupted while memory was measured", e);
    }
  }
}
