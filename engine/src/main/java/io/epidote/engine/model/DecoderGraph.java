package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.graph;
import static io.epidote.engine.onnx.Attribute.integer;
import static io.epidote.engine.onnx.Attribute.integers;
import static io.epidote.engine.onnx.Attribute.real;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.Family;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.checkpoint.MoeConfig;
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
 * Around attention they are laid out as {@code [B, Q]}. Past keys and values are gathered from the
 * KV pool by block table and meet the new ones only in the softmax, so that neither is copied into
 * one tensor. Only new keys and values leave the graph.
 *
 * <p>Inputs, in order: {@code input_ids [T]}, {@code positions [1, T]}, {@code media_rows [M, H]},
 * {@code media_positions [M, 1]} (where they replace embeddings), {@code pad_index [B, Q]} (packed
 * index of each sequence's tokens), {@code unpad_index [T]} (its inverse), {@code block_table [B,
 * N]}, {@code past_lengths [B, 1]}, {@code logit_rows [R]}, {@code kv_pool [blocks * L * 2, 16 *
 * W]} with {@code W = kvHeads * headDim}. Outputs: {@code logits [R, V]}, {@code new_kv [L * 2, T,
 * W]}.
 */
final class DecoderGraph {
  /** Added to scores that must not count: its exponential is 0 beside any real score. */
  private static final float MASKED = -1e30f;

  private final TextConfig config;
  private final String prefix;
  private final GraphBuilder graph;
  private final LinearWeights weights;
  private final int kvWidth;
  private final int queryWidth;

  private DecoderGraph(Checkpoint checkpoint, WeightFile file) {
    ModelConfig model = checkpoint.config();
    this.config = model.text();
    this.prefix = model.vision().isPresent() ? "model.text_model." : "model.";
    this.graph = new GraphBuilder("decoder", file);
    this.weights = new LinearWeights(checkpoint, graph);
    this.kvWidth = config.kvHeads() * config.headDim();
    this.queryWidth = config.heads() * config.headDim();
  }

  static byte[] write(Checkpoint checkpoint, WeightFile file) {
    return new DecoderGraph(checkpoint, file).write();
  }

  /** What every layer's attention needs to know about the step. */
  private record Step(
      Value positions,
      Value padIndex,
      Value unpadIndex,
      Value blockRows,
      Value pastBias,
      Value newBias,
      Value kvPool,
      Value cosines,
      Value sines) {}

  private byte[] write() {
    int hidden = config.hiddenSize();
    Value ids = graph.input("input_ids", ElementType.INT64, "T");
    Value positions = graph.input("positions", ElementType.INT64, 1, "T");
    Value mediaRows = graph.input("media_rows", ElementType.FLOAT, "M", hidden);
    Value mediaPositions = graph.input("media_positions", ElementType.INT64, "M", 1);
    Value padIndex = graph.input("pad_index", ElementType.INT64, "B", "Q");
    Value unpadIndex = graph.input("unpad_index", ElementType.INT64, "T");
    Value blockTable = graph.input("block_table", ElementType.INT64, "B", "N");
    Value pastLengths = graph.input("past_lengths", ElementType.INT64, "B", 1);
    Value logitRows = graph.input("logit_rows", ElementType.INT64, "R");
    Value kvPool =
        graph.input("kv_pool", ElementType.FLOAT, "rows", DecoderShape.BLOCK_TOKENS * kvWidth);

    Value embeddings = weights.tensor(prefix + "embed_tokens.weight", config.vocabulary(), hidden);
    Value x = graph.op("Gather", List.of(embeddings, ids));
    x = graph.op("ScatterND", List.of(x, mediaPositions, mediaRows));

    Step step =
        new Step(
            positions,
            padIndex,
            unpadIndex,
            graph.op("Mul", List.of(blockTable, graph.integer(config.layers() * 2L))),
            pastBias(blockTable, pastLengths),
            newBias(padIndex),
            kvPool,
            rotation("cosines", true),
            rotation("sines", false));

    List<Value> newKv = new ArrayList<>();
    for (int layer = 0; layer < config.layers(); layer++) {
      String name = prefix + "layers." + layer + ".";
      Value attended =
          attention(layer, name, norm(name + "input_layernorm.weight", x), step, newKv);
      x = graph.op("Add", List.of(x, attended));
      Value normed = norm(name + "post_attention_layernorm.weight", x);
      Value changed =
          config.moe().isPresent()
              ? experts(name, config.moe().get(), normed)
              : feedForward(graph, weights, Names.dense(name), config.intermediateSize(), normed);
      x = graph.op("Add", List.of(x, changed));
    }

    Value last = norm(prefix + "norm.weight", graph.op("Gather", List.of(x, logitRows)));
    Value head =
        config.tiedEmbeddings()
            ? embeddings
            : weights.tensor("lm_head.weight", config.vocabulary(), hidden);
    // Gemm reads the [V, H] table as it is: a transposed second copy would double a tied model's
    // head.
    Value logits = graph.op("Gemm", List.of(last, head), integer("transB", 1));
    graph.output("logits", logits, ElementType.FLOAT, "R", config.vocabulary());
    graph.output(
        "new_kv",
        graph.op("Concat", newKv, integer("axis", 0)),
        ElementType.FLOAT,
        config.layers() * 2,
        "T",
        kvWidth);
    return graph.model();
  }

  private Value norm(String weight, Value x) {
    return graph.op(
        "SimplifiedLayerNormalization",
        List.of(x, weights.tensor(weight, config.hiddenSize())),
        integer("axis", -1),
        real("epsilon", config.rmsNormEps()));
  }

  /** Cosines or sines of every position, {@code [context, headDim / 2]}. */
  private Value rotation(String name, boolean cosine) {
    int half = config.headDim() / 2;
    return graph.weight(
        name,
        out -> {
          for (int position = 0; position < config.contextTokens(); position++) {
            for (int i = 0; i < half; i++) {
              double angle = position * Math.pow(config.ropeTheta(), -2.0 * i / config.headDim());
              out.put((float) (cosine ? Math.cos(angle) : Math.sin(angle)));
            }
          }
        },
        config.contextTokens(),
        half);
  }

  /** {@code [B, 1, 1, N * 16]}: 0 where a past token is, masked where the block is not filled. */
  private Value pastBias(Value blockTable, Value pastLengths) {
    Value blocks =
        graph.op("Gather", List.of(graph.op("Shape", List.of(blockTable)), graph.integer(1)));
    Value slots = graph.op("Mul", List.of(blocks, graph.integer(DecoderShape.BLOCK_TOKENS)));
    Value slot = graph.op("Range", List.of(graph.integer(0), slots, graph.integer(1)));
    Value filled = graph.op("Less", List.of(slot, pastLengths));
    Value bias = graph.op("Where", List.of(filled, graph.real(0), graph.real(MASKED)));
    return graph.op("Unsqueeze", List.of(bias, graph.integers(1, 2)));
  }

  /** {@code [G * Q, Q]}: causal among the new tokens of a sequence, for each head of a group. */
  private Value newBias(Value padIndex) {
    Value count =
        graph.op("Gather", List.of(graph.op("Shape", List.of(padIndex)), graph.integer(1)));
    Value index = graph.op("Range", List.of(graph.integer(0), count, graph.integer(1)));
    Value query = graph.op("Unsqueeze", List.of(index, graph.integers(1)));
    Value seen = graph.op("GreaterOrEqual", List.of(query, index));
    Value bias = graph.op("Where", List.of(seen, graph.real(0), graph.real(MASKED)));
    return graph.op("Tile", List.of(bias, graph.integers(config.heads() / config.kvHeads(), 1)));
  }

  private Value attention(int layer, String name, Value x, Step step, List<Value> newKv) {
    int hidden = config.hiddenSize();
    int headDim = config.headDim();
    int kvHeads = config.kvHeads();
    int group = config.heads() / kvHeads;
    List<String> projections =
        List.of(
            name + "self_attn.q_proj.weight",
            name + "self_attn.k_proj.weight",
            name + "self_attn.v_proj.weight");
    Value qkv =
        graph.op(
            "MatMul",
            List.of(x, weights.columns(projections, hidden, queryWidth, kvWidth, kvWidth)));
    if (config.attentionBias()) {
      List<String> biases = projections.stream().map(p -> p.replace(".weight", ".bias")).toList();
      qkv = graph.op("Add", List.of(qkv, weights.biases(biases, queryWidth, kvWidth, kvWidth)));
    }
    List<Value> parts =
        graph.ops(
            "Split",
            List.of(qkv, graph.integers(queryWidth, kvWidth, kvWidth)),
            3,
            integer("axis", -1));
    Value q = rotate(parts.get(0), step);
    Value k = rotate(parts.get(1), step);
    Value v = parts.get(2);
    newKv.add(graph.op("Unsqueeze", List.of(k, graph.integers(0))));
    newKv.add(graph.op("Unsqueeze", List.of(v, graph.integers(0))));

    // Queries of one key-value head side by side: [B, kvHeads, G * Q, headDim].
    Value scaled = graph.op("Mul", List.of(q, graph.real((float) (1 / Math.sqrt(headDim)))));
    Value queries = graph.op("Gather", List.of(scaled, step.padIndex()));
    queries = reshape(queries, 0, 0, kvHeads, group, headDim);
    queries = transpose(queries, 0, 2, 3, 1, 4);
    queries = reshape(queries, 0, kvHeads, -1, headDim);

    Value newKeys =
        reshape(graph.op("Gather", List.of(k, step.padIndex())), 0, 0, kvHeads, headDim);
    Value newValues =
        reshape(graph.op("Gather", List.of(v, step.padIndex())), 0, 0, kvHeads, headDim);
    Value pastKeys = past(layer, 0, step);
    Value pastValues = past(layer, 1, step);

    Value pastScores = graph.op("MatMul", List.of(queries, transpose(pastKeys, 0, 2, 3, 1)));
    pastScores = graph.op("Add", List.of(pastScores, step.pastBias()));
    Value newScores = graph.op("MatMul", List.of(queries, transpose(newKeys, 0, 2, 3, 1)));
    newScores = graph.op("Add", List.of(newScores, step.newBias()));
    // New scores first: how far the batch's longest past pads must not move them.
    Value probabilities =
        graph.op(
            "Softmax",
            List.of(graph.op("Concat", List.of(newScores, pastScores), integer("axis", -1))),
            integer("axis", -1));
    Value newCount = graph.op("Shape", List.of(newScores), integer("start", -1));
    Value pastCount = graph.op("Shape", List.of(pastScores), integer("start", -1));
    List<Value> split =
        graph.ops(
            "Split",
            List.of(
                probabilities,
                graph.op("Concat", List.of(newCount, pastCount), integer("axis", 0))),
            2,
            integer("axis", -1));
    Value context =
        graph.op(
            "Add",
            List.of(
                graph.op("MatMul", List.of(split.get(0), transpose(newValues, 0, 2, 1, 3))),
                graph.op("MatMul", List.of(split.get(1), transpose(pastValues, 0, 2, 1, 3)))));

    context = reshape(context, 0, kvHeads, group, -1, headDim);
    context = transpose(context, 0, 3, 1, 2, 4);
    context = reshape(context, -1, queryWidth);
    context = graph.op("Gather", List.of(context, step.unpadIndex()));
    return graph.op(
        "MatMul",
        List.of(context, weights.column(name + "self_attn.o_proj.weight", queryWidth, hidden)));
  }

  /** Keys or values of the past, {@code [B, N * 16, kvHeads, headDim]}. */
  private Value past(int layer, int keyOrValue, Step step) {
    Value rows = graph.op("Add", List.of(step.blockRows(), graph.integer(layer * 2L + keyOrValue)));
    Value blocks = graph.op("Gather", List.of(step.kvPool(), rows));
    return reshape(blocks, 0, -1, config.kvHeads(), config.headDim());
  }

  private Value rotate(Value x, Step step) {
    Value one = graph.op("Unsqueeze", List.of(x, graph.integers(0)));
    Value rotated =
        graph.microsoftOp(
            "RotaryEmbedding",
            List.of(one, step.positions(), step.cosines(), step.sines()),
            integer("interleaved", 0));
    return graph.op("Squeeze", List.of(rotated, graph.integers(0)));
  }

  /** Tensor names of a SwiGLU layer. */
  private record Names(String gate, String up, String down) {
    static Names dense(String layer) {
      return projections(layer + "mlp.");
    }

    static Names projections(String module) {
      return new Names(
          module + "gate_proj.weight", module + "up_proj.weight", module + "down_proj.weight");
    }
  }

  private Value feedForward(
      GraphBuilder into, LinearWeights from, Names names, int intermediate, Value x) {
    int hidden = config.hiddenSize();
    Value gateUp =
        into.op(
            "MatMul",
            List.of(
                x,
                from.columns(
                    List.of(names.gate(), names.up()), hidden, intermediate, intermediate)));
    List<Value> parts =
        into.ops(
            "Split",
            List.of(gateUp, into.integers(intermediate, intermediate)),
            2,
            integer("axis", -1));
    Value gate = parts.get(0);
    Value silu = into.op("Mul", List.of(gate, into.op("Sigmoid", List.of(gate))));
    return into.op(
        "MatMul",
        List.of(
            into.op("Mul", List.of(silu, parts.get(1))),
            from.column(names.down(), intermediate, hidden)));
  }

  /**
   * Mixture of experts. Pairs of token and expert are sorted by expert; each expert runs once over
   * its own rows and is skipped when it has none. A token's answer is summed in the order of its
   * own top k, so that it does not depend on the batch.
   */
  private Value experts(String layer, MoeConfig moe, Value x) {
    int k = moe.expertsPerToken();
    int hidden = config.hiddenSize();
    boolean mixtral = config.family() == Family.MIXTRAL;
    String module = layer + (mixtral ? "block_sparse_moe." : "mlp.");
    Value scores =
        graph.op(
            "Softmax",
            List.of(
                graph.op(
                    "MatMul",
                    List.of(x, weights.column(module + "gate.weight", hidden, moe.experts())))),
            integer("axis", -1));
    List<Value> top = graph.ops("TopK", List.of(scores, graph.integers(k)), 2, integer("axis", -1));
    Value gates = top.get(0);
    if (moe.normalizeTopK()) {
      gates =
          graph.op(
              "Div", List.of(gates, graph.op("ReduceSum", List.of(gates, graph.integers(-1)))));
    }

    // [experts, T * k]: which pair belongs to which expert; NonZero lists the pairs by expert.
    Value chosen = reshape(top.get(1), 1, -1);
    long[] ids = new long[moe.experts()];
    for (int e = 0; e < ids.length; e++) {
      ids[e] = e;
    }
    Value member =
        graph.op(
            "Equal",
            List.of(
                graph.op("Unsqueeze", List.of(graph.integers(ids), graph.integers(1))), chosen));
    Value pairs =
        graph.op("Gather", List.of(graph.op("NonZero", List.of(member)), graph.integer(1)));
    Value counts =
        graph.op(
            "ReduceSum",
            List.of(graph.op("Cast", List.of(member), integer("to", 7)), graph.integers(1)),
            integer("keepdims", 0));
    Value ends = graph.op("CumSum", List.of(counts, graph.integer(0)));
    Value starts = graph.op("Sub", List.of(ends, counts));
    Value rows = graph.op("Div", List.of(pairs, graph.integer(k)));
    Value sorted = graph.op("Gather", List.of(x, rows));

    List<Value> results = new ArrayList<>();
    for (int e = 0; e < moe.experts(); e++) {
      Value start = graph.op("Gather", List.of(starts, graph.integers(e)));
      Value end = graph.op("Gather", List.of(ends, graph.integers(e)));
      Value any = graph.op("Less", List.of(start, end));
      GraphBuilder run = graph.branch("expert");
      Value input = run.op("Slice", List.of(sorted, start, end, run.integers(0)));
      Names names =
          mixtral
              ? new Names(
                  module + "experts." + e + ".w1.weight",
                  module + "experts." + e + ".w3.weight",
                  module + "experts." + e + ".w2.weight")
              : Names.projections(module + "experts." + e + ".");
      run.output(
          "expert_" + layer + e,
          feedForward(run, weights, names, moe.expertIntermediateSize(), input),
          ElementType.FLOAT,
          "n",
          hidden);
      GraphBuilder skip = graph.branch("no_tokens");
      skip.output(
          "no_tokens_" + layer + e,
          skip.reals(FloatBuffer.allocate(0), 0, hidden),
          ElementType.FLOAT,
          "n",
          hidden);
      results.add(
          graph.op("If", List.of(any), graph("then_branch", run), graph("else_branch", skip)));
    }
    Value byExpert = graph.op("Concat", results, integer("axis", 0));
    // Back to the order of pairs: row pairs[i] of the result is row i of byExpert.
    Value byPair =
        graph.op(
            "ScatterND",
            List.of(byExpert, graph.op("Unsqueeze", List.of(pairs, graph.integers(1))), byExpert));
    Value weighted =
        graph.op(
            "Mul",
            List.of(
                reshape(byPair, -1, k, hidden),
                graph.op("Unsqueeze", List.of(gates, graph.integers(-1)))));
    Value mixed =
        graph.op("ReduceSum", List.of(weighted, graph.integers(1)), integer("keepdims", 0));
    if (moe.sharedExpertIntermediateSize() > 0) {
      Value shared =
          feedForward(
              graph,
              weights,
              Names.projections(module + "shared_expert."),
              moe.sharedExpertIntermediateSize(),
              x);
      Value open =
          graph.op(
              "Sigmoid",
              List.of(
                  graph.op(
                      "MatMul",
                      List.of(
                          x, weights.column(module + "shared_expert_gate.weight", hidden, 1)))));
      mixed = graph.op("Add", List.of(mixed, graph.op("Mul", List.of(shared, open))));
    }
    return mixed;
  }

  private Value reshape(Value x, long... shape) {
    return graph.op("Reshape", List.of(x, graph.integers(shape)));
  }

  private Value transpose(Value x, long... order) {
    return graph.op("Transpose", List.of(x), integers("perm", order));
  }
}
