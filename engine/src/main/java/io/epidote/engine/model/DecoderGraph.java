package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.graph;
import static io.epidote.engine.onnx.Attribute.integer;
import static io.epidote.engine.onnx.Attribute.real;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.MoeConfig;
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
import java.util.function.Function;

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
    Residual at = new Residual(x, GraphBuilder.absent());
    for (int layer = 0; layer < config.layers(); layer++) {
      String name = prefix + "layers." + layer + ".";
      String attentionName = name + "self_attn.";
      Value attentionNorm = norm(name + "input_layernorm.weight");
      int index = layer;
      if (latent.isPresent()) {
        at =
            after(at, attentionNorm, false, rows -> latent.get().write(attentionName, index, rows));
      } else if (layers.packs()) {
        at = attention.writeHalf(attentionName, layer, at, attentionNorm);
      } else {
        at = after(at, attentionNorm, false, rows -> attention.write(attentionName, index, rows));
      }
      Value norm = norm(name + "post_attention_layernorm.weight");
      Optional<MoeConfig> experts = config.experts(layer);
      FeedForward dense =
          FeedForward.of(name + "mlp.", config.hiddenSize(), config.intermediateSize());
      if (experts.isPresent()) {
        ExpertsGraph moe = new ExpertsGraph(config, experts.get(), graph, layers);
        at = after(at, norm, true, rows -> moe.write(name, index, rows));
      } else if (layers.packs()) {
        at = dense.writeHalf(graph, layers, layer, at, norm);
      } else {
        at = after(at, norm, false, rows -> dense.write(graph, layers, rows));
      }
    }
    x = graph.op("Add", List.of(at.x(), at.change()));

    Value logits = logits(prefix, table, graph.op("Gather", List.of(x, logitRows)));
    graph.output("logits", logits, ElementType.FLOAT, "R", vocabulary);
    return graph.model();
  }

  /** A step that ends no prompt wants no logits, and some operators do not take an empty tensor. */
  private Value logits(String prefix, String table, Value x) {
    int vocabulary = config.vocabulary();
    boolean tied = config.tiedEmbeddings();
    Value weight = norm(prefix + "norm.weight");
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

  private Value norm(String weight) {
    return layers.tensor(weight, config.hiddenSize());
  }

  /** Half a layer: the norm of a sum, and what is made of it. */
  private Residual after(
      Residual at, Value norm, boolean real, Function<LinearLayers.Rows, Value> half) {
    Sum sum = addAndNorm(at.x(), at.change(), norm, real);
    return new Residual(sum.x(), half.apply(sum.normed()));
  }

  /** A residual stream and its norm. */
  private record Sum(Value x, LinearLayers.Rows normed) {}

  /**
   * @param change what is added to {@code x} first, or absent
   * @param real whether the normed rows are also needed as they are
   */
  private Sum addAndNorm(Value x, Value change, Value norm, boolean real) {
    boolean bytes = layers.quantizesRows();
    boolean adds = !change.equals(GraphBuilder.absent());
    List<Value> made =
        graph.epidoteOps(
            RowOperators.ADD_AND_NORM,
            List.of(x, change, norm),
            List.of(adds, real || !bytes, bytes, bytes),
            integer(RowOperators.WIDTH, config.hiddenSize()));
    return new Sum(adds ? made.get(0) : x, layers.rows(made.get(1), made.get(2), made.get(3)));
  }
}
