package io.epidote.engine.kernel;

import io.epidote.engine.onnx.ElementType;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Linear layers and the operators on rows between them, each of which does in one pass what would
 * be several nodes: at a few rows a step, nodes cost more than their work. The attribute of all is
 * {@link #WIDTH}.
 */
public final class RowOperators implements AutoCloseable {
  /** Attribute: floats of a row of the result. */
  public static final String WIDTH = "width";

  /**
   * Inputs: {@code x [T, width]}. Outputs: unsigned bytes {@code [T, width]}, scales {@code [T,
   * 1]}.
   */
  public static final String QUANTIZE_ROWS = "QuantizeRows";

  /**
   * RMSNorm of a residual sum. Inputs: {@code x [T, width]}, what is added to it or nothing, the
   * norm's weight {@code [width]}. Outputs: the sum, the normed sum, the latter quantised, its
   * rows' scales.
   */
  public static final String ADD_AND_NORM = "AddAndNorm";

  /**
   * Inputs: gate and up side by side {@code [T, 2 * width]}. Outputs: {@code silu(gate) * up}, the
   * same quantised, its rows' scales.
   */
  public static final String SWI_GLU = "SwiGlu";

  /**
   * A linear layer of floats. Inputs: {@code x [T, in]}, the weights as {@link PackedFloats} {@code
   * [panels, in, columns of a panel]}. Output: {@code [T, width]}.
   */
  public static final String FLOAT_LINEAR = "FloatLinear";

  /**
   * A linear layer of bytes. The weights of both are used where they are mapped: processes share
   * them, and a model is loaded without reading them. Inputs: rows as {@link #QUANTIZE_ROWS} makes
   * them and their scales, the weights as {@link PackedBytes} {@code [panels, bytes of a panel]}.
   * Output: {@code [T, width]}.
   */
  public static final String BYTE_LINEAR = "ByteLinear";

  private static final long F = Float.BYTES;

  private final Arena arena = Arena.ofShared();
  private final List<FloatArray> rows;
  private final float epsilon;
  private final LinearKernel byteLinear;
  private final LinearKernel floatLinear;
  private final ReadingOrder order = new ReadingOrder();

  /**
   * @param epsilon of the norms
   * @param threads of the session
   */
  public RowOperators(float epsilon, int threads) {
    this.epsilon = epsilon;
    this.byteLinear = new LinearKernel(PanelProducts.OF_BYTES, arena, threads);
    this.floatLinear = new LinearKernel(PanelProducts.OF_FLOATS, arena, threads);
    this.rows = IntStream.range(0, threads).mapToObj(i -> new FloatArray(arena)).toList();
  }

  /** The operators, for the session that they are used in. */
  public List<Operator> operators() {
    ElementType real = ElementType.FLOAT;
    ElementType bytes = ElementType.UINT8;
    return List.of(
        new Operator(
            QUANTIZE_ROWS,
            List.of(real),
            List.of(bytes, real),
            WIDTH,
            width -> context -> quantize(context, (int) width)),
        new Operator(
            ADD_AND_NORM,
            List.of(real, real, real),
            List.of(real, real, bytes, real),
            WIDTH,
            width -> context -> addAndNorm(context, (int) width)),
        new Operator(
            SWI_GLU,
            List.of(real),
            List.of(real, bytes, real),
            WIDTH,
            width -> context -> swiGlu(context, (int) width)),
        new Operator(
            FLOAT_LINEAR,
            List.of(real, real),
            List.of(real),
            WIDTH,
            width -> context -> floatLinear(context, (int) width)),
        new Operator(
            BYTE_LINEAR,
            List.of(bytes, real, bytes),
            List.of(real),
            WIDTH,
            width -> context -> byteLinear(context, (int) width)));
  }

  private void quantize(KernelContext context, int width) throws Throwable {
    long x = context.input(0);
    int tokens = (int) (context.elements(0) / width);
    ByteRows quantised = ByteRows.output(context, 0, tokens, width);
    Pieces.share(context, tokens, (token, worker) -> quantised.put(x + token * width * F, token));
  }

  private void addAndNorm(KernelContext context, int width) throws Throwable {
    int tokens = (int) (context.elements(0) / width);
    addAndNorm(
        context,
        tokens,
        width,
        context.input(0),
        context.input(1),
        context.input(2),
        context.output(0, tokens, width),
        context.output(1, tokens, width),
        ByteRows.output(context, 2, tokens, width));
  }

  /**
   * RMSNorm of a residual sum.
   *
   * @param delta 0 when nothing is added
   * @param sum only written when something is added
   * @param normed 0 when it is not wanted but as bytes
   */
  void addAndNorm(
      KernelContext context,
      int tokens,
      int width,
      long x,
      long delta,
      long weight,
      long sum,
      long normed,
      ByteRows quantised)
      throws Throwable {
    Pieces.share(
        context,
        tokens,
        (token, worker) -> {
          long at = token * width * F;
          long result = normed == 0 ? row(worker, width) : normed + at;
          Activations.addAndNorm(
              x + at, delta == 0 ? 0 : delta + at, weight, epsilon, width, sum + at, result);
          quantised.put(result, token);
        });
  }

  private void swiGlu(KernelContext context, int width) throws Throwable {
    int tokens = (int) (context.elements(0) / (2 * width));
    swiGlu(
        context,
        tokens,
        width,
        context.input(0),
        context.output(0, tokens, width),
        ByteRows.output(context, 1, tokens, width));
  }

  /**
   * @param product 0 when it is not wanted but as bytes
   */
  void swiGlu(
      KernelContext context, int tokens, int width, long gateUp, long product, ByteRows quantised)
      throws Throwable {
    Pieces.share(
        context,
        tokens,
        (token, worker) -> {
          long gate = gateUp + 2 * token * width * F;
          long result = product == 0 ? row(worker, width) : product + token * width * F;
          Activations.swiGlu(gate, gate + width * F, width, result);
          quantised.put(result, token);
        });
  }

  private void floatLinear(KernelContext context, int out) throws Throwable {
    PackedFloats one = new PackedFloats(1, out);
    int in = (int) (context.elements(1) * F / one.bytes());
    int tokens = (int) (context.elements(0) / in);
    long result = context.output(0, tokens, out);
    linear(
        context, new PackedFloats(in, out), tokens, context.input(0), 0, context.input(1), result);
  }

  private void byteLinear(KernelContext context, int out) throws Throwable {
    int tokens = (int) context.elements(1);
    int in = tokens == 0 ? 0 : (int) (context.elements(0) / tokens);
    long result = context.output(0, tokens, out);
    linear(
        context,
        new PackedBytes(in, out),
        tokens,
        context.input(0),
        context.input(1),
        context.input(2),
        result);
  }

  /**
   * @param x {@code [tokens, in]} as the matrix reads it
   * @param scales of rows of bytes
   * @param result {@code [tokens, out]}
   */
  void linear(
      KernelContext context,
      PackedMatrix matrix,
      int tokens,
      long x,
      long scales,
      long weights,
      long result)
      throws Throwable {
    if (tokens > 0) {
      LinearKernel kernel =
          switch (matrix) {
            case PackedBytes _ -> byteLinear;
            case PackedFloats _ -> floatLinear;
          };
      context.expect(
          order.after(new ReadingOrder.Matrix(weights, matrix.panels(), matrix.panelBytes())));
      kernel.run(context, matrix, tokens, x, scales, weights, result);
    }
  }

  private long row(int worker, int width) {
    FloatArray row = rows.get(worker);
    row.reserve(width);
    return row.address();
  }

  @Override
  public void close() {
    arena.close();
  }
}
