package io.epidote.engine.kernel;

import io.epidote.engine.onnx.ElementType;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/**
 * The two halves of a decoder's layer, each in one operator: at a few rows a step, handing rows
 * from node to node and calling threads for each would cost a third of the time.
 *
 * <p>Both begin with RMSNorm of a residual sum and give the sum and what is to be added to it next.
 * Weights are {@link PackedFloats}, or {@link PackedBytes} that rows are quantised for.
 */
public final class LayerOperators implements AutoCloseable {
  /**
   * Inputs: {@code x [T, hidden]}, what is added to it or nothing, the norm's weight {@code
   * [hidden]}, the projection to queries, keys and values, its bias or nothing, the projection of
   * what attention gives, its bias or nothing. Outputs: the sum {@code [T, hidden]}, when there is
   * something to add, and the result {@code [T, hidden]}. Attribute: {@link PagedAttention#LAYER}.
   */
  public static final String FLOAT_ATTENTION = "FloatAttentionLayer";

  /** {@link #FLOAT_ATTENTION} of bytes. */
  public static final String BYTE_ATTENTION = "ByteAttentionLayer";

  /**
   * Inputs: {@code x [T, hidden]}, what is added to it or nothing, the norm's weight, the
   * projection to gate and up side by side, the projection down. Outputs and attribute: as of
   * {@link #FLOAT_ATTENTION}.
   */
  public static final String FLOAT_SWI_GLU = "FloatSwiGluLayer";

  /** {@link #FLOAT_SWI_GLU} of bytes. */
  public static final String BYTE_SWI_GLU = "ByteSwiGluLayer";

  private static final long F = Float.BYTES;

  private final Arena arena = Arena.ofShared();
  private final PagedAttention attention;
  private final RowOperators rows;
  private final AdapterStep adapters;
  private final int intermediate;
  private final LoraKernel lora;
  private final InnerRows normed = new InnerRows(arena);
  private final InnerRows inner = new InnerRows(arena);
  private final FloatArray projected = new FloatArray(arena);

  /**
   * @param attention of the same session, as are {@code rows} and {@code adapters}
   * @param intermediate of dense layers, the width of the rows between
   * @param threads of the session
   */
  public LayerOperators(
      PagedAttention attention,
      RowOperators rows,
      AdapterStep adapters,
      int intermediate,
      int threads) {
    this.attention = attention;
    this.rows = rows;
    this.adapters = adapters;
    this.intermediate = intermediate;
    this.lora = new LoraKernel(arena, threads);
  }

  /** Rows between the steps of a half, as its linear layers read them. */
  private static final class InnerRows {
    private final FloatArray values;
    private final FloatArray bytes;
    private final FloatArray scales;
    private boolean quantised;
    private int width;

    InnerRows(Arena arena) {
      this.values = new FloatArray(arena);
      this.bytes = new FloatArray(arena);
      this.scales = new FloatArray(arena);
    }

    void reserve(boolean quantise, int tokens, int rowWidth) {
      quantised = quantise;
      width = rowWidth;
      if (quantise) {
        bytes.reserve((long) tokens * width / F + 1);
        scales.reserve(tokens);
      } else {
        values.reserve((long) tokens * width);
      }
    }

    long values() {
      return quantised ? 0 : values.address();
    }

    ByteRows quantised() {
      return new ByteRows(quantised ? bytes.address() : 0, scales.address(), width);
    }

    /** What a linear layer multiplies. */
    long read() {
      return quantised ? bytes.address() : values.address();
    }

    long bytes() {
      return values.bytes() + bytes.bytes() + scales.bytes();
    }
  }

  /** The operators, for the session that they are used in. */
  public List<Operator> operators() {
    return List.of(
        attentionOperator(FLOAT_ATTENTION, ElementType.FLOAT),
        attentionOperator(BYTE_ATTENTION, ElementType.UINT8),
        swiGluOperator(FLOAT_SWI_GLU, ElementType.FLOAT),
        swiGluOperator(BYTE_SWI_GLU, ElementType.UINT8));
  }

  private Operator attentionOperator(String name, ElementType weights) {
    ElementType real = ElementType.FLOAT;
    boolean quantise = weights == ElementType.UINT8;
    return new Operator(
        name,
        List.of(real, real, real, weights, real, weights, real),
        List.of(real, real),
        PagedAttention.LAYER,
        layer -> context -> attention(context, quantise, (int) layer));
  }

  private Operator swiGluOperator(String name, ElementType weights) {
    ElementType real = ElementType.FLOAT;
    boolean quantise = weights == ElementType.UINT8;
    return new Operator(
        name,
        List.of(real, real, real, weights, weights),
        List.of(real, real),
        PagedAttention.LAYER,
        layer -> context -> swiGlu(context, quantise, (int) layer));
  }

  private void attention(KernelContext context, boolean quantise, int layer) throws Throwable {
    AttentionShape shape = attention.shape();
    Residual residual = Residual.of(context);
    int tokens = residual.tokens();
    int hidden = residual.hidden();
    long projection = context.input(3);
    long bias = context.input(4);
    long outProjection = context.input(5);
    long outBias = context.input(6);
    int attended = shape.heads() * shape.valueWidth();
    normed.reserve(quantise, tokens, hidden);
    inner.reserve(quantise, tokens, attended);
    projected.reserve((long) tokens * shape.tokenFloats());
    norm(context, residual);
    long qkv = projected.address();
    linear(context, normed, tokens, shape.tokenFloats(), projection, bias, qkv);
    adapt(context, layer, AdapterLayers.Layer::qkv, normed, qkv, shape.tokenFloats());
    attention.attend(context, layer, qkv, inner.values(), inner.quantised());
    linear(context, inner, tokens, hidden, outProjection, outBias, residual.result());
    adapt(context, layer, AdapterLayers.Layer::out, inner, residual.result(), hidden);
  }

  private void swiGlu(KernelContext context, boolean quantise, int layer) throws Throwable {
    Residual residual = Residual.of(context);
    int tokens = residual.tokens();
    int width = intermediate;
    long gateUp = context.input(3);
    long down = context.input(4);
    normed.reserve(quantise, tokens, residual.hidden());
    inner.reserve(quantise, tokens, width);
    projected.reserve(2L * tokens * width);
    norm(context, residual);
    linear(context, normed, tokens, 2 * width, gateUp, 0, projected.address());
    adapt(context, layer, part -> part.dense().gateUp(), normed, projected.address(), 2 * width);
    rows.swiGlu(context, tokens, width, projected.address(), inner.values(), inner.quantised());
    linear(context, inner, tokens, residual.hidden(), down, 0, residual.result());
    adapt(context, layer, part -> part.dense().down(), inner, residual.result(), residual.hidden());
  }

  /** Adds what low-rank adapters make of the rows that a linear layer read to its result. */
  private void adapt(
      KernelContext context,
      int layer,
      Function<AdapterLayers.Layer, Optional<LoraMatrices>> part,
      InnerRows from,
      long result,
      int out)
      throws Throwable {
    if (!adapters.parts().isEmpty()) {
      lora.add(
          context,
          adapters.segments(layer, part),
          new LoraKernel.Source(from.values(), from.quantised()),
          result,
          out);
    }
  }

  /** The first three inputs and both outputs of either half. */
  private record Residual(
      int tokens, int hidden, long x, long delta, long norm, long sum, long result) {
    static Residual of(KernelContext context) throws Throwable {
      int hidden = (int) context.elements(2);
      int tokens = (int) (context.elements(0) / hidden);
      return new Residual(
          tokens,
          hidden,
          context.input(0),
          context.input(1),
          context.input(2),
          context.output(0, tokens, hidden),
          context.output(1, tokens, hidden));
    }
  }

  private void norm(KernelContext context, Residual residual) throws Throwable {
    rows.addAndNorm(
        context,
        residual.tokens(),
        residual.hidden(),
        residual.x(),
        residual.delta(),
        residual.norm(),
        residual.sum(),
        normed.values(),
        normed.quantised());
  }

  private void linear(
      KernelContext context,
      InnerRows from,
      int tokens,
      int out,
      long weights,
      long bias,
      long result)
      throws Throwable {
    PackedMatrix matrix =
        from.quantised ? new PackedBytes(from.width, out) : new PackedFloats(from.width, out);
    rows.linear(context, matrix, tokens, from.read(), from.scales.address(), weights, result);
    if (bias != 0) {
      Pieces.share(
          context,
          tokens,
          (token, worker) -> Rows.addScaled(bias, 1, false, result + (long) token * out * F, out));
    }
  }

  /** Bytes outside the heap that steps work in. */
  public long scratchBytes() {
    return normed.bytes() + inner.bytes() + projected.bytes() + lora.bytes();
  }

  @Override
  public void close() {
    arena.close();
  }
}
