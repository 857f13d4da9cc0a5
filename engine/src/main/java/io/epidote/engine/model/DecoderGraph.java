package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.graph;
import static io.epidote.engine.onnx.Attribute.integer;
import static io.epidote.engine.onnx.Attribute.real;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.onnx.ElementType;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import io.epidote.engine.onnx.WeightFile;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Writes the decoder's graph: RMSNorm, RoPE, grouped-query attention over paged KV, SwiGLU or
 * mixture of experts.
 *
 * <p>The tokens of all sequences are packed ({@code T} of them): linear layers never see padding.
 *
 * <p>Inputs, in order: {@code input_ids [T]}, {@code media_rows [M, H]}, {@code media_positions [M,
 * 1]} (where they replace embeddings), {@code logit_rows [R]}, those of {@link AttentionGraph}, and
 * for each layer its plane of the KV pool. Outputs: {@code logits [R, V]}, {@code new_kv [layers *
 * 2, T, kvHeads * headDim]}.
 */
final class DecoderGraph {
  private final ModelConfig model;
  private final TextConfig config;
  private final GraphBuilder graph;
  private final LinearLayers layers;

  private DecoderGraph(Checkpoint checkpoint, Precision precision, WeightFile file) {
    this.model = checkpoint.config();
    this.config = model.text();
    this.graph = new GraphBuilder("decoder", file);
    this.layers = new LinearLayers(checkpoint, graph, precision);
  }

  static byte[] write(Checkpoint checkpoint, Precision precision, WeightFile file) {
    return new DecoderGraph(checkpoint, precision, file).write();
  }

  private byte[] write() {
    String prefix = model.vision().isPresent() ? "model.text_model." : "model.";
    int hidden = config.hiddenSize();
    int vocabulary = config.vocabulary();
    int kvWidth = config.kvHeads() * config.headDim();
    Value ids = graph.input("input_ids", ElementType.INT64, "T");
    Value mediaRows = graph.input("media_rows", ElementType.FLOAT, "M", hidden);
    Value mediaPositions = graph.input("media_positions", ElementType.INT64, "M", 1);
    Value logitRows = graph.input("logit_rows", ElementType.INT64, "R");

    String table = prefix + "embed_tokens.weight";
    Value x = layers.embed(table, vocabulary, hidden, ids);
    x = graph.op("ScatterND", List.of(x, mediaPositions, mediaRows));
    AttentionGraph attention = new AttentionGraph(config, graph, layers);
    List<Value> newKv = new ArrayList<>();
    Value normed = norm(prefix + "layers.0.input_layernorm.weight", x);
    for (int layer = 0; layer < config.layers(); layer++) {
      String name = prefix + "layers." + layer + ".";
      Value pool =
          graph.input(
              "kv_pool_" + layer,
              ElementType.FLOAT,
              "runs",
              DecoderShape.BLOCK_TOKENS * config.headDim());
      AttentionGraph.Result attended =
          attention.write(name + "self_attn.", config.windows().get(layer), normed, pool);
      newKv.add(attended.keys());
      newKv.add(attended.values());
      Sum sum = addAndNorm(x, attended.hidden(), name + "post_attention_layernorm.weight");
      Value changed = feedForward(name, sum.normed());
      if (layer + 1 == config.layers()) {
        x = graph.op("Add", List.of(sum.x(), changed));
      } else {
        sum =
            addAndNorm(
                sum.x(), changed, prefix + "layers." + (layer + 1) + ".input_layernorm.weight");
        x = sum.x();
        normed = sum.normed();
      }
    }

    Value logits = logits(prefix, table, graph.op("Gather", List.of(x, logitRows)));
    graph.output("logits", logits, ElementType.FLOAT, "R", vocabulary);
    graph.output(
        "new_kv",
        graph.op("Concat", newKv, integer("axis", 0)),
        ElementType.FLOAT,
        config.layers() * 2,
        "T",
        kvWidth);
    return graph.model();
  }

  /** A step that ends no prompt wants no logits, and some operators do not take an empty tensor. */
  private Value logits(String prefix, String table, Value x) {
    int vocabulary = config.vocabulary();
    boolean tied = config.tiedEmbeddings();
    Value weight = layers.tensor(prefix + "norm.weight", config.hiddenSize());
    GraphBuilder run = graph.branch("head");
    Value last =
        run.op(
            "SimplifiedLayerNormalization",
            List.of(x, weight),
            integer("axis", -1),
            real("epsilon", config.rmsNormEps()));
    Value head =
        layers.head(
            run, last, tied ? table : "lm_head.weight", vocabulary, config.hiddenSize(), tied);
    run.output("head_logits", head, ElementType.FLOAT, "R", vocabulary);
    GraphBuilder skip = graph.branch("no_logits");
    skip.output(
        "no_logits",
        skip.reals(FloatBuffer.allocate(0), 0, vocabulary),
        ElementType.FLOAT,
        "R",
        vocabulary);
    Value rows = graph.op("Size", List.of(x));
    return graph.op(
        "If",
        List.of(graph.op("Greater", List.of(rows, graph.integer(0)))),
        graph("then_branch", run),
        graph("else_branch", skip));
  }

  private Value feedForward(String layer, Value x) {
    return config
        .moe()
        .map(moe -> new ExpertsGraph(config, moe, graph, layers).write(layer, x))
        .orElseGet(() ->
            FeedForward.of(layer + "mlp.", config.hiddenSize(), config.intermediateSize())
                .write(graph, layers, layers.rows(graph, x)));
  }

  /** A residual stream and its norm. */
  private record Sum(Value x, Value normed) {}

  private Sum addAndNorm(Value x, Value change, String weight) {
    List<Value> made =
        graph.microsoftOps(
            "SkipSimplifiedLayerNormalization",
            List.of(x, change, layers.tensor(weight, config.hiddenSize())),
            List.of(true, false, false, true),
            real("epsilon", config.rmsNormEps()));
    return new Sum(made.getLast(), made.getFirst());
  }

  private Value norm(String weight, Value x) {
    return graph.op(
        "SimplifiedLayerNormalization",
        List.of(x, layers.tensor(weight, config.hiddenSize())),
        integer("axis", -1),
        real("epsilon", config.rmsNormEps()));
  }
}
