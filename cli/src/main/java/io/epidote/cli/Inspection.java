package io.epidote.cli;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.DType;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.checkpoint.TensorInfo;
import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.image.ImageLimits;
import io.epidote.engine.image.ImageProcessor;
import io.epidote.engine.image.TilePlan;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.GraphPlan;
import io.epidote.engine.model.Models;
import io.epidote.engine.model.Precision;
import io.epidote.engine.model.RuntimeOptions;
import java.io.PrintStream;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * What a checkpoint is and needs.
 *
 * @param parameters by part: vision, connector, decoder
 * @param dtypes bytes of the stored weights by their type
 * @param files safetensors files
 * @param memory bytes that it should fit
 * @param kvCache bytes of KV blocks that a node should have
 * @param process bytes that a process has without a model
 */
record Inspection(
    String name,
    ModelConfig config,
    DecoderShape shape,
    Map<String, Long> parameters,
    Map<DType, Long> dtypes,
    int files,
    List<Plan> plans,
    List<Picture> pictures,
    long memory,
    long kvCache,
    long process) {
  private static final List<int[]> PICTURES =
      List.of(new int[] {512, 512}, new int[] {1024, 768}, new int[] {4032, 3024});

  /** The graphs at one precision; prefill and decode have the same. */
  record Plan(Precision precision, Optional<GraphPlan> vision, GraphPlan decoder) {
    /** Bytes in the memory of one node with all stages. */
    long nodeBytes(boolean prepack) {
      return decoder.memoryBytes(prepack)
          + vision.map(graph -> graph.memoryBytes(prepack)).orElse(0L);
    }
  }

  /** A picture of some size, pixels, and what becomes of it. */
  record Picture(int width, int height, int tiles, long mediaTokens, long mediaBytes) {}

  static Inspection of(Checkpoint checkpoint, long memory, long kvCache, long process) {
    ModelConfig config = checkpoint.config();
    Map<String, Long> parameters = new TreeMap<>();
    Map<DType, Long> dtypes = new TreeMap<>();
    for (String name : checkpoint.tensorNames()) {
      TensorInfo tensor = checkpoint.info(name);
      parameters.merge(part(name), tensor.elements(), Long::sum);
      dtypes.merge(tensor.dtype(), tensor.bytes(), Long::sum);
    }
    List<Plan> plans = new ArrayList<>();
    for (Precision precision : Precision.values()) {
      Models models = new Models(checkpoint, new RuntimeOptions(1, precision, Home.cache(), true));
      plans.add(
          new Plan(
              precision, config.vision().map(vision -> models.planVision()), models.planDecoder()));
    }
    return new Inspection(
        checkpoint.name(),
        config,
        Models.decoderShape(config.text()),
        parameters,
        dtypes,
        checkpoint.weightFiles().size(),
        plans,
        pictures(checkpoint),
        memory,
        kvCache,
        process);
  }

  private static String part(String tensor) {
    return tensor.contains("vision")
        ? "vision"
        : tensor.contains("connector") || tensor.contains("projector") ? "connector" : "decoder";
  }

  private static List<Picture> pictures(Checkpoint checkpoint) {
    ModelConfig config = checkpoint.config();
    // The shapes' folders have none.
    if (config.vision().isEmpty()
        || !Files.exists(checkpoint.folder().resolve("preprocessor_config.json"))) {
      return List.of();
    }
    ImageProcessor images =
        ImageProcessor.open(checkpoint.folder(), config, ImageLimits.defaults());
    return PICTURES.stream()
        .map(size -> {
          TilePlan plan = images.plan(size[0], size[1]);
          long tokens = (long) plan.tiles() * config.tileTokens();
          return new Picture(
              size[0],
              size[1],
              plan.tiles(),
              tokens,
              tokens * config.text().hiddenSize() * Float.BYTES);
        })
        .toList();
  }

  private long kvTokenBytes() {
    return shape.kvBlockBytes() / DecoderShape.BLOCK_TOKENS;
  }

  private long tileBytes() {
    return (long) config.tileTokens() * config.text().hiddenSize() * Float.BYTES;
  }

  /** Tokens whose keys and values a number of bytes holds, in whole blocks. */
  private long kvTokens(long bytes) {
    return Math.max(0, bytes) / shape.kvBlockBytes() * DecoderShape.BLOCK_TOKENS;
  }

  /** Bytes that one node with all stages leaves of the memory, KV blocks not yet taken. */
  private long left(Plan plan, boolean prepack) {
    return memory - process - plan.nodeBytes(prepack);
  }

  private long allParameters() {
    return parameters.values().stream().mapToLong(Long::longValue).sum();
  }

  private long storedBytes() {
    return dtypes.values().stream().mapToLong(Long::longValue).sum();
  }

  Report report() {
    TextConfig text = config.text();
    Report report =
        new Report("model inspect")
            .figure("parameters", allParameters())
            .figure("checkpoint_bytes", storedBytes())
            .figure("files", files)
            .figure("layers", text.layers())
            .figure("hidden_size", text.hiddenSize())
            .figure("heads", text.heads())
            .figure("kv_heads", text.kvHeads())
            .figure("vocabulary", text.vocabulary())
            .figure("context_tokens", text.contextTokens())
            .figure("kv_token_bytes", kvTokenBytes())
            .figure("kv_block_bytes", shape.kvBlockBytes())
            .figure("kv_cache_bytes", kvCache)
            .figure("kv_cache_tokens", kvTokens(kvCache))
            .figure("tile_media_tokens", config.tileTokens())
            .figure("tile_media_bytes", tileBytes())
            .figure("memory_bytes", memory)
            .figure("process_bytes", process);
    Map<String, Object> model = new LinkedHashMap<>();
    model.put("model", name);
    model.put("model_type", config.modelType());
    model.put("family", family());
    model.put("parameters", parameters);
    model.put("dtype_bytes", dtypes);
    report.row(model);
    for (Plan plan : plans) {
      plan.vision().ifPresent(graph -> report.row(row(plan, "encode", graph)));
      report.row(row(plan, "prefill", plan.decoder()));
      report.row(row(plan, "decode", plan.decoder()));
      for (boolean prepack : List.of(true, false)) {
        Map<String, Object> node = new LinkedHashMap<>();
        node.put("node", "all stages");
        node.put("precision", plan.precision().word());
        node.put("prepack", prepack);
        node.put("weight_bytes", plan.nodeBytes(prepack));
        node.put("fits", left(plan, prepack) >= kvCache);
        node.put("left_for_kv_bytes", Math.max(0, left(plan, prepack)));
        node.put("left_for_kv_tokens", kvTokens(left(plan, prepack)));
        report.row(node);
      }
    }
    for (Picture picture : pictures) {
      Map<String, Object> row = new LinkedHashMap<>();
      row.put("picture", picture.width() + "x" + picture.height());
      row.put("tiles", picture.tiles());
      row.put("media_tokens", picture.mediaTokens());
      row.put("media_bytes", picture.mediaBytes());
      report.row(row);
    }
    return report;
  }

  private static Map<String, Object> row(Plan plan, String stage, GraphPlan graph) {
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("stage", stage);
    row.put("precision", plan.precision().word());
    row.put("cache_bytes", graph.fileBytes());
    row.put("prepacked_private_bytes", graph.copiedBytes());
    row.put("prepacked_shared_bytes", graph.keptBytes());
    row.put("mapped_shared_bytes", graph.fileBytes());
    return row;
  }

  private String family() {
    return config.text().family().name().toLowerCase(Locale.ROOT);
  }

  void print(PrintStream out) {
    TextConfig text = config.text();
    line(out, "%s: %s, decoder of the form %s", name, config.modelType(), family());
    line(
        out,
        "  decoder     %d layers, hidden %d, %d heads, %d for keys and values, of %d; vocabulary %d, context %d%s",
        text.layers(),
        text.hiddenSize(),
        text.heads(),
        text.kvHeads(),
        text.headDim(),
        text.vocabulary(),
        text.contextTokens(),
        text.moe()
            .map(moe -> "; %d experts, %d a token".formatted(moe.experts(), moe.expertsPerToken()))
            .orElse(""));
    config
        .vision()
        .ifPresent(vision ->
            line(
                out,
                "  vision      %d layers, hidden %d, %d heads; a tile of %dx%d becomes %d media tokens, %s",
                vision.layers(),
                vision.hiddenSize(),
                vision.heads(),
                vision.imageSize(),
                vision.imageSize(),
                config.tileTokens(),
                Bytes.words(tileBytes())));
    line(
        out,
        "  parameters  %,d: %s",
        allParameters(),
        parameters.entrySet().stream()
            .map(part -> String.format(Locale.ROOT, "%s %,d", part.getKey(), part.getValue()))
            .collect(Collectors.joining(", ")));
    line(
        out,
        "  files       %d, %s: %s",
        files,
        Bytes.words(storedBytes()),
        dtypes.entrySet().stream()
            .map(dtype -> dtype.getKey() + " " + Bytes.words(dtype.getValue()))
            .collect(Collectors.joining(", ")));
    line(
        out,
        "  KV          %s a token, %s a block of %d; %s hold %,d tokens",
        Bytes.words(kvTokenBytes()),
        Bytes.words(shape.kvBlockBytes()),
        DecoderShape.BLOCK_TOKENS,
        Bytes.words(kvCache),
        kvTokens(kvCache));

    line(out, "%n%-16s %-9s %10s %24s %24s", "stage", "precision", "disk", "prepacked", "mapped");
    for (Plan plan : plans) {
      plan.vision().ifPresent(graph -> stage(out, plan, "encode", graph));
      stage(out, plan, "prefill, decode", plan.decoder());
    }
    if (!pictures.isEmpty()) {
      line(out, "%n%-16s %9s %12s %10s", "picture", "tiles", "media tokens", "memory");
      for (Picture picture : pictures) {
        line(
            out,
            "%-16s %9d %12d %10s",
            picture.width() + "x" + picture.height(),
            picture.tiles(),
            picture.mediaTokens(),
            Bytes.words(picture.mediaBytes()));
      }
    }
    line(
        out,
        "%nOne node with all stages in %s, of which a process without a model has %s:",
        Bytes.words(memory),
        Bytes.words(process));
    line(out, "%-16s %-9s %10s %24s %24s", "", "precision", "weights", "left for KV", "KV tokens");
    for (Plan plan : plans) {
      node(out, plan, true);
      node(out, plan, false);
    }
  }

  private static void stage(PrintStream out, Plan plan, String stage, GraphPlan graph) {
    line(
        out,
        "%-16s %-9s %10s %24s %24s",
        stage,
        plan.precision().word(),
        Bytes.words(graph.fileBytes()),
        Bytes.words(graph.copiedBytes()) + " + " + Bytes.words(graph.keptBytes()) + " shared",
        Bytes.words(graph.fileBytes()) + " shared");
  }

  private void node(PrintStream out, Plan plan, boolean prepack) {
    long left = left(plan, prepack);
    line(
        out,
        "%-16s %-9s %10s %24s %24s",
        prepack ? "prepacked" : "mapped",
        plan.precision().word(),
        Bytes.words(plan.nodeBytes(prepack)),
        left >= kvCache ? Bytes.words(left) : "does not fit",
        left >= kvCache ? String.format(Locale.ROOT, "%,d", kvTokens(left)) : "-");
  }

  private static void line(PrintStream out, String format, Object... values) {
    out.println(String.format(Locale.ROOT, format, values));
  }
}
