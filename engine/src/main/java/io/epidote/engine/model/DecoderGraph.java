package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.graph;
import static io.epidote.engine.onnx.Attribute.integer;
import static io.epidote.engine.onnx.Attribute.real;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.TensorNames;
import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.kernel.RowOperators;
import io.epidote.engine.onnx.ElementType;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import io.epidote.engine.onnx.WeightFile;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.Optional;

/**
 * Writes the decoder's graph: RMSNorm, RoPE, grouped-query or latent attention over paged KV,
 * SwiGLU or mixture of experts.
 *
 * <p>The tokens of all sequences are packed ({@code T} of them): linear layers never see padding.
 *
 * <p>Inputs, in order: {@code input_ids [T]}, {@code media_rows [M, H]}, {@code media_positions [M,
 * 1]} (where they replace embeddings), {@code logit_rows [R]}. Output: {@code logits [R, V]}. Where
 * the tokens stand and their paged keys and values are {@link
 * io.epidote.engine.kernel.PagedAttention}'s, outside the graph.
 */
final class DecoderGraph {
  private final TensorNames names;
  private final TextConfig config;
  private final GraphBuilder graph;
  private final LinearLayers layers;

  private DecoderGraph(Checkpoint checkpoint, Precision precision, WeightFile file) {
    this.names = TensorNames.of(checkpoint);
    this.config = checkpoint.config().text();
    this.graph = new GraphBuilder("decoder", file);
    this.layers = new LinearLayers(checkpoint, graph, precision);
  }

  static byte[] write(Checkpoint checkpoint, Precision precision, WeightFile file) {
    return new DecoderGraph(checkpoint, precision, file).write();
  }

  private byte[] write() {
    String prefix = names.text();
    int hidden = config.hiddenSize();
    int vocabulary = config.vocabulary();
    Value ids = graph.input("input_ids", ElementType.INT64, "T");
    Value mediaRows = graph.input("media_rows", ElementType.FLOAT, "M", hidden);
    Value mediaPositions = graph.input("media_positions", ElementType.INT64, "M", 1);
    Value logitRows = graph.input("logit_rows", ElementType.INT64, "R");

    String table = prefix + "embed_tokens.weight";
    Value x = layers.embed(table, vocabulary, hidden, ids);
    x = graph.op("ScatterND", List.of(x, mediaPositions, mediaRows));
    AttentionGraph attention = new AttentionGraph(config, graph, layers);
    Optional<LatentAttentionGraph> latent =
        config.latent().map(widths -> new LatentAttentionGraph(config, widths, graph, layers));
    Sum sum =
        addAndNorm(x, GraphBuilder.absent(), prefix + "layers.0.input_layernorm.weight", false);
    for (int layer = 0; layer < config.layers(); layer++) {
      String name = prefix + "layers." + layer + ".";
      String attentionName = name + "self_attn.";
      Value attended =
          latent.isPresent()
              ? latent.get().write(attentionName, layer, sum.normed())
              : attention.write(attentionName, layer, sum.normed());
      boolean experts = config.experts(layer).isPresent();
      sum = addAndNorm(sum.x(), attended, name + "post_attention_layernorm.weight", experts);
      Value changed = feedForward(name, layer, sum.normed());
      if (layer + 1 == config.layers()) {
        x = graph.op("Add", List.of(sum.x(), changed));
      } else {
        sum =
            addAndNorm(
                sum.x(),
                changed,
                prefix + "layers." + (layer + 1) + ".input_layernorm.weight",
                false);
      }
    }

    Value logits = logits(prefix, table, graph.op("Gather", List.of(x, logitRows)));
    graph.output("logits", logits, ElementType.FLOAT, "R", vocabulary);
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
        layers.head(run, last, tied ? table : names.head(), vocabulary, config.hiddenSize());
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

  private Value feedForward(String name, int layer, LinearLayers.Rows x) {
    return config
        .experts(layer)
        .map(moe -> new ExpertsGraph(config, moe, graph, layers).write(name, x))
        .orElseGet(() ->
            FeedForward.of(name + "mlp.", config.hiddenSize(), config.intermediateSize())
                .write(graph, layers, x));
  }

  /** A residual stream and its norm. */
  private record Sum(Value x, LinearLayers.Rows normed) {}

  /**
   * @param change what is added to {@code x} first, or absent
   * @param real whether the normed rows are also needed as they are
   */
  private Sum addAndNorm(Value x, Value change, String weight, boolean real) {
    boolean bytes = layers.quantizesRows();
    boolean adds = !change.equals(GraphBuilder.absent());
    List<Value> made =
        graph.epidoteOps(
            RowOperators.ADD_AND_NORM,
            List.of(x, change, layers.tensor(weight, config.hiddenSize())),
            List.of(adds, real || !bytes, bytes, bytes),
            integer(RowOperators.WIDTH, config.hiddenSize()));
    return new Sum(adds ? made.get(0) : x, layers.rows(made.get(1), made.get(2), made.get(3)));
  }
}
