package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;
import static io.epidote.engine.onnx.Attribute.integers;
import static io.epidote.engine.onnx.Attribute.real;

import io.epidote.engine.checkpoint.LatentAttention;
import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.kernel.PagedAttention;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.nio.FloatBuffer;
import java.util.List;

/**
 * Writes multi-head latent attention in its absorbed form: a head's key matrix is applied to its
 * query and its value matrix to its context, so that {@link PagedAttention} has one key (the latent
 * vector and the rotary part) and one value (the latent vector) for all heads.
 *
 * <p>The matrices of {@code kv_b_proj} stay at full precision at INT8 and INT4: each head has its
 * own, of few rows, and their products are batched over heads.
 */
final class LatentAttentionGraph {
  /** Of the norms inside attention, whatever rms_norm_eps says: so the published code. */
  private static final float EPSILON = 1e-6f;

  private final TextConfig config;
  private final LatentAttention latent;
  private final GraphBuilder graph;
  private final LinearLayers layers;

  LatentAttentionGraph(
      TextConfig config, LatentAttention latent, GraphBuilder graph, LinearLayers layers) {
    this.config = config;
    this.latent = latent;
    this.graph = graph;
    this.layers = layers;
  }

  /**
   * Attention of one layer, {@code [T, hidden]} to {@code [T, hidden]}.
   *
   * @param name of the layer's module, for example {@code model.layers.0.self_attn.}
   */
  Value write(String name, int layer, LinearLayers.Rows x) {
    int heads = config.heads();
    int rank = latent.rank();
    int rotary = latent.rotaryWidth();
    int plain = latent.plainWidth();
    int value = latent.valueWidth();
    int queryWidth = heads * config.headDim();
    boolean direct = latent.queryRank() == 0;
    String query = name + (direct ? "q_proj.weight" : "q_b_proj.weight");
    String shared = name + "kv_a_proj_with_mqa.weight";
    layers.weights().reorderRows(query, row -> halves(row, config.headDim(), plain));
    layers.weights().reorderRows(shared, row -> halves(row, rank + rotary, rank));

    int first = direct ? queryWidth : latent.queryRank();
    Value projected =
        layers.apply(
            graph,
            x,
            new LinearLayers.Matrix(
                List.of(direct ? query : name + "q_a_proj.weight", shared),
                config.hiddenSize(),
                first,
                rank + rotary));
    List<Value> parts = split(projected, 1, first, rank, rotary);
    Value queries =
        direct
            ? parts.get(0)
            : layers.apply(
                graph,
                norm(parts.get(0), name + "q_a_layernorm.weight", first),
                LinearLayers.Matrix.of(query, first, queryWidth));
    List<Value> queryParts = split(reshape(queries, -1, heads, config.headDim()), 2, plain, rotary);
    int headRows = plain + value;
    String expansion = name + "kv_b_proj.weight";
    Value absorbed =
        perHead(
            queryParts.get(0),
            layers
                .weights()
                .perHead(
                    new MatrixWeights.HeadRows(expansion, heads, headRows, rank, 0, plain), false),
            plain);
    Value allQueries = graph.op("Concat", List.of(absorbed, queryParts.get(1)), integer("axis", 2));
    Value latentRows = norm(parts.get(1), name + "kv_a_layernorm.weight", rank);
    Value qkv =
        graph.op(
            "Concat",
            List.of(
                reshape(allQueries, -1, (long) heads * (rank + rotary)),
                latentRows,
                parts.get(2),
                latentRows),
            integer("axis", 1));
    Value context =
        graph
            .epidoteOps(
                PagedAttention.NAME,
                List.of(qkv),
                List.of(true, false, false),
                integer(PagedAttention.LAYER, layer))
            .getFirst();
    Value values =
        perHead(
            reshape(context, -1, heads, rank),
            layers
                .weights()
                .perHead(
                    new MatrixWeights.HeadRows(expansion, heads, headRows, rank, plain, value),
                    true),
            rank);
    Value rows = reshape(values, -1, (long) heads * value);
    return layers.apply(
        graph,
        layers.rows(graph, rows, heads * value),
        LinearLayers.Matrix.of(name + "o_proj.weight", heads * value, config.hiddenSize()));
  }

  /** The checkpoint's rotary pairs are neighbours, the kernel's are a half apart. */
  private int halves(int row, int period, int start) {
    int i = row % period - start;
    int half = latent.rotaryWidth() / 2;
    return i < 0 ? row : row - i + (i < half ? 2 * i : 2 * (i - half) + 1);
  }

  /**
   * {@code [T, heads, in]} times {@code [heads, in, out]} to {@code [T, heads, out]}. A row of
   * zeros goes along: ONNX Runtime sums the product of a single row in another order.
   */
  private Value perHead(Value x, Value matrices, int in) {
    Value zeros = graph.reals(FloatBuffer.allocate(config.heads() * in), 1, config.heads(), in);
    Value padded = graph.op("Concat", List.of(x, zeros), integer("axis", 0));
    Value product =
        graph.op(
            "MatMul",
            List.of(graph.op("Transpose", List.of(padded), integers("perm", 1, 0, 2)), matrices));
    return graph.op(
        "Slice",
        List.of(
            graph.op("Transpose", List.of(product), integers("perm", 1, 0, 2)),
            graph.integers(0),
            graph.integers(-1),
            graph.integers(0)));
  }

  private Value norm(Value x, String weight, int width) {
    return graph.op(
        "SimplifiedLayerNormalization",
        List.of(x, layers.tensor(weight, width)),
        integer("axis", -1),
        real("epsilon", EPSILON));
  }

  private List<Value> split(Value x, int axis, long... widths) {
    return graph.ops(
        "Split", List.of(x, graph.integers(widths)), widths.length, integer("axis", axis));
  }

  private Value reshape(Value x, long... shape) {
    return graph.op("Reshape", List.of(x, graph.integers(shape)));
  }
}
