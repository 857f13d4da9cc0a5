package io.epidote.engine.kernel;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import io.epidote.engine.onnx.ElementType;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The experts of a layer, each a SwiGLU layer of bytes. Pairs of token and expert are sorted by
 * expert, so that an expert's weights are read once for all its tokens, and not at all when it has
 * none. A token's answer is summed in the order of its own top k, so that it does not depend on the
 * batch.
 *
 * <p>Inputs: rows as {@link RowOperators#QUANTIZE_ROWS} makes them {@code [T, hidden]} and their
 * scales {@code [T, 1]}; the experts of each token {@code [T, k]} and their weights {@code [T, k]};
 * all experts' gate and up side by side and their down, as {@link PackedBytes} one after the other.
 * Output: {@code [T, hidden]}.
 */
public final class ExpertOperator implements AutoCloseable {
  public static final String NAME = "ByteExperts";

  /** The operator's attribute: a {@link #shape}. */
  public static final String SHAPE = "shape";

  /** Panels of an expert that are a piece of work. */
  private static final int PANELS = 4;

  private static final long F = Float.BYTES;

  private final Arena arena = Arena.ofShared();
  private final LinearKernel linear;
  private final FloatArray gathered = new FloatArray(arena);
  private final FloatArray gatheredScales = new FloatArray(arena);
  private final FloatArray gateUp = new FloatArray(arena);
  private final FloatArray inner = new FloatArray(arena);
  private final FloatArray innerScales = new FloatArray(arena);
  private final FloatArray results = new FloatArray(arena);
  private final List<FloatArray> products;

  /** By expert, where its pairs start among the sorted; one more for the end. */
  private int[] starts = new int[0];

  /** By pair in the order of tokens, its place among the sorted. */
  private int[] places = new int[0];

  /**
   * @param threads of the session
   */
  public ExpertOperator(int threads) {
    this.linear = new LinearKernel(PanelProducts.OF_BYTES, arena, threads);
    this.products = IntStream.range(0, threads).mapToObj(i -> new FloatArray(arena)).toList();
  }

  /** The value of the attribute. */
  public static long shape(int experts, int intermediate) {
    return (long) experts << Integer.SIZE | intermediate;
  }

  /** The operator, for the session that it is used in. */
  public Operator operator() {
    ElementType real = ElementType.FLOAT;
    ElementType bytes = ElementType.UINT8;
    return new Operator(
        NAME,
        List.of(bytes, real, ElementType.INT64, real, bytes, bytes),
        List.of(real),
        SHAPE,
        shape -> context -> compute(context, (int) (shape >> Integer.SIZE), (int) shape));
  }

  private void compute(KernelContext context, int experts, int intermediate) throws Throwable {
    long bytes = context.input(0);
    long scales = context.input(1);
    long ids = context.input(2);
    long weights = context.input(3);
    long gateUpWeights = context.input(4);
    long downWeights = context.input(5);
    int tokens = (int) context.elements(1);
    if (tokens == 0) {
      throw new IllegalArgumentException("a step has no tokens");
    }
    int hidden = (int) (context.elements(0) / tokens);
    int pairs = (int) context.elements(2);
    int each = pairs / tokens;
    long output = context.output(0, tokens, hidden);
    sort(ids, pairs, experts);
    reserve(pairs, hidden, intermediate);
    Pieces.share(
        context, pairs, (pair, worker) -> gather(bytes, scales, hidden, pair / each, places[pair]));
    multiply(
        context,
        new PackedBytes(hidden, 2 * intermediate),
        experts,
        gathered.address(),
        gatheredScales.address(),
        gateUpWeights,
        gateUp.address());
    Pieces.share(
        context,
        pairs,
        (place, worker) -> activate(place, intermediate, products.get(worker).address()));
    multiply(
        context,
        new PackedBytes(intermediate, hidden),
        experts,
        inner.address(),
        innerScales.address(),
        downWeights,
        results.address());
    Pieces.share(context, tokens, (token, worker) -> combine(token, each, hidden, weights, output));
  }

  /** Counts every expert's pairs and gives each pair its place, by expert and then by token. */
  private void sort(long ids, int pairs, int experts) {
    if (places.length < pairs) {
      places = new int[pairs];
    }
    if (starts.length <= experts) {
      starts = new int[experts + 1];
    }
    int[] next = new int[experts + 1];
    for (int pair = 0; pair < pairs; pair++) {
      next[expert(ids, pair) + 1]++;
    }
    for (int expert = 0; expert < experts; expert++) {
      next[expert + 1] += next[expert];
    }
    System.arraycopy(next, 0, starts, 0, experts + 1);
    for (int pair = 0; pair < pairs; pair++) {
      places[pair] = next[expert(ids, pair)]++;
    }
  }

  private static int expert(long ids, int pair) {
    return (int) Memory.ALL.get(JAVA_LONG_UNALIGNED, ids + (long) pair * Long.BYTES);
  }

  private void reserve(int pairs, int hidden, int intermediate) {
    gathered.reserve((long) pairs * hidden / F + 1);
    gatheredScales.reserve(pairs);
    gateUp.reserve(2L * pairs * intermediate);
    inner.reserve((long) pairs * intermediate / F + 1);
    innerScales.reserve(pairs);
    results.reserve((long) pairs * hidden);
    products.forEach(product -> product.reserve(intermediate));
  }

  private void gather(long bytes, long scales, int hidden, int token, int place) {
    Memory.copyBytes(
        bytes + (long) token * hidden, gathered.address() + (long) place * hidden, hidden);
    Memory.put(gatheredScales.address() + place * F, Memory.get(scales + token * F));
  }

  /** Every expert's rows by its matrix. */
  private void multiply(
      KernelContext context,
      PackedBytes matrix,
      int experts,
      long bytes,
      long scales,
      long weights,
      long result)
      throws Throwable {
    int groups = (matrix.panels() + PANELS - 1) / PANELS;
    context.share(
        experts * groups,
        (piece, worker) -> {
          int expert = piece / groups;
          int first = piece % groups * PANELS;
          if (starts[expert] == starts[expert + 1]) {
            return;
          }
          for (int panel = first; panel < Math.min(first + PANELS, matrix.panels()); panel++) {
            linear.multiply(
                matrix,
                panel,
                starts[expert],
                starts[expert + 1],
                bytes,
                scales,
                weights + expert * matrix.bytes(),
                result,
                worker);
          }
        });
  }

  private void activate(int place, int intermediate, long product) {
    long gate = gateUp.address() + 2L * place * intermediate * F;
    Activations.swiGlu(gate, gate + intermediate * F, intermediate, product);
    Activations.quantize(
        product,
        intermediate,
        inner.address() + (long) place * intermediate,
        innerScales.address() + place * F);
  }

  private void combine(int token, int each, int hidden, long weights, long output) {
    long to = output + (long) token * hidden * F;
    for (int i = 0; i < each; i++) {
      int pair = token * each + i;
      Rows.addScaled(
          results.address() + (long) places[pair] * hidden * F,
          Memory.get(weights + pair * F),
          i == 0,
          to,
          hidden);
    }
  }

  /** Bytes outside the heap that steps work in. */
  public long scratchBytes() {
    return gathered.bytes()
        + gatheredScales.bytes()
        + gateUp.bytes()
        + inner.bytes()
        + innerScales.bytes()
        + results.bytes()
        + products.stream().mapToLong(FloatArray::bytes).sum();
  }

  @Override
  public void close() {
    arena.close();
  }
}
