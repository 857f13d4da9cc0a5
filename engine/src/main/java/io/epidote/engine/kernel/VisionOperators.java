package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Memory.LANES;

import io.epidote.engine.onnx.ElementType;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Operators on rows between a vision tower's linear layers, as {@link RowOperators} are between a
 * decoder's: each adds the bias of the linear layer before it and quantises for the one behind it.
 * The attribute of all is {@link #WIDTH}.
 */
public final class VisionOperators implements AutoCloseable {
  /** Attribute: floats of a row. */
  public static final String WIDTH = "width";

  /**
   * LayerNorm of a residual sum. Inputs: {@code x [T, width]}, what is added to it {@code [T,
   * width]} and the latter's bias {@code [width]}, both or neither; the norm's weight and bias
   * {@code [width]}. Outputs: the sum, the normed sum, the latter quantised, its rows' scales.
   */
  public static final String ADD_AND_LAYER_NORM = "AddAndLayerNorm";

  /**
   * GELU by the error function. Inputs of this and all activations: {@code x [T, width]}, the bias
   * {@code [width]} or nothing. Outputs: the activation of the sum, the same quantised, its rows'
   * scales.
   */
  public static final String BIAS_GELU = "BiasGelu";

  /** GELU by the hyperbolic tangent. */
  public static final String BIAS_GELU_TANH = "BiasGeluTanh";

  /** {@code x * sigmoid(1.702 * x)} */
  public static final String BIAS_QUICK_GELU = "BiasQuickGelu";

  public static final String BIAS_SILU = "BiasSilu";
  public static final String BIAS_RELU = "BiasRelu";

  private static final long F = Float.BYTES;

  /** 2 * sqrt(2 / pi) */
  private static final float TANH_SLOPE = 1.5957691216f;

  private static final float TANH_CUBE = TANH_SLOPE * 0.044715f;
  private static final float QUICK_SLOPE = 1.702f;

  private final Arena arena = Arena.ofShared();
  private final List<FloatArray> rows;
  private final List<FloatArray> padded;
  private final FloatArray zeros = new FloatArray(arena);
  private final float epsilon;

  /**
   * @param epsilon of the norms
   * @param threads of the session
   */
  public VisionOperators(float epsilon, int threads) {
    this.epsilon = epsilon;
    this.rows = IntStream.range(0, threads).mapToObj(i -> new FloatArray(arena)).toList();
    this.padded = IntStream.range(0, threads).mapToObj(i -> new FloatArray(arena)).toList();
    padded.forEach(rows -> rows.reserve(3 * LANES));
  }

  /** An activation of {@code x + bias}. */
  @FunctionalInterface
  private interface Activation {
    void apply(long x, long bias, int width, long result);
  }

  /** The operators, for the session that they are used in. */
  public List<Operator> operators() {
    ElementType real = ElementType.FLOAT;
    return Stream.of(
            new Operator(
                ADD_AND_LAYER_NORM,
                List.of(real, real, real, real, real),
                List.of(real, real, ElementType.UINT8, real),
                WIDTH,
                width -> context -> addAndNorm(context, (int) width)),
            activation(BIAS_GELU, TowerRows::gelu),
            activation(
                BIAS_GELU_TANH,
                (x, bias, width, to) -> TowerRows.gate(x, bias, TANH_SLOPE, TANH_CUBE, width, to)),
            activation(
                BIAS_QUICK_GELU,
                (x, bias, width, to) -> TowerRows.gate(x, bias, QUICK_SLOPE, 0, width, to)),
            activation(BIAS_SILU, (x, bias, width, to) -> TowerRows.gate(x, bias, 1, 0, width, to)),
            activation(BIAS_RELU, TowerRows::relu))
        .toList();
  }

  private Operator activation(String name, Activation activation) {
    ElementType real = ElementType.FLOAT;
    return new Operator(
        name,
        List.of(real, real),
        List.of(real, ElementType.UINT8, real),
        WIDTH,
        width -> context -> activate(context, (int) width, activation));
  }

  private void addAndNorm(KernelContext context, int width) throws Throwable {
    long x = context.input(0);
    long delta = context.input(1);
    long bias = context.input(2);
    long weight = context.input(3);
    long normBias = context.input(4);
    int tokens = (int) (context.elements(0) / width);
    long sum = delta == 0 ? x : context.output(0, tokens, width);
    long normed = context.output(1, tokens, width);
    ByteRows bytes = ByteRows.output(context, 2, tokens, width);
    Pieces.share(
        context,
        tokens,
        (token, worker) -> {
          long at = token * width * F;
          if (delta != 0) {
            TowerRows.add(x + at, delta + at, bias, width, sum + at);
          }
          long result = normed == 0 ? row(worker, width) : normed + at;
          TowerRows.norm(sum + at, weight, normBias, epsilon, width, result);
          bytes.put(result, token);
        });
  }

  private void activate(KernelContext context, int width, Activation activation) throws Throwable {
    long x = context.input(0);
    long bias = context.input(1);
    int tokens = (int) (context.elements(0) / width);
    long activated = context.output(0, tokens, width);
    ByteRows bytes = ByteRows.output(context, 1, tokens, width);
    zeros.reserve(bias == 0 ? width : 0);
    long added = bias == 0 ? zeros.address() : bias;
    Pieces.share(
        context,
        tokens,
        (token, worker) -> {
          long at = token * width * F;
          long result = activated == 0 ? row(worker, width) : activated + at;
          if (width < LANES) {
            applyNarrow(activation, x + at, added, width, result, worker);
          } else {
            activation.apply(x + at, added, width, result);
          }
          bytes.put(result, token);
        });
  }

  /** On copies that are as wide as a vector. */
  private void applyNarrow(
      Activation activation, long x, long bias, int width, long result, int worker) {
    long rows = padded.get(worker).address();
    long biases = rows + LANES * F;
    long results = biases + LANES * F;
    Memory.copy(x, rows, width);
    Memory.copy(bias, biases, width);
    activation.apply(rows, biases, LANES, results);
    Memory.copy(results, result, width);
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
