package io.epidote.engine.kernel;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import io.epidote.engine.kernel.AdapterLayers.FeedForwardLora;
import io.epidote.engine.onnx.ElementType;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * The experts of a layer, each a SwiGLU layer. Pairs of token and expert are sorted by the slot
 * whose weights they take, the base's or an adapter's ({@link ExpertSlots}), so that an expert's
 * weights are read once for all its tokens, and not at all when it has none. A token's answer is
 * summed in the order of its own top k, so that it does not depend on the batch.
 *
 * <p>Inputs: rows {@code [T, hidden]}, as bytes those that {@link RowOperators#QUANTIZE_ROWS}
 * makes, and their scales {@code [T, 1]}, nothing for floats; the experts of each token {@code [T,
 * k]} and their weights {@code [T, k]}; all experts' gate and up side by side and their down, as
 * {@link PackedMatrix} one after the other. Output: {@code [T, hidden]}. Attribute: {@link
 * PagedAttention#LAYER}.
 */
public final class ExpertOperator implements AutoCloseable {
  public static final String BYTES = "ByteExperts";
  public static final String FLOATS = "FloatExperts";

  /** Panels of an expert that are a piece of work. */
  private static final int PANELS = 4;

  private static final long F = Float.BYTES;

  private final Arena arena = Arena.ofShared();
  private final ExpertShape shape;
  private final boolean quantise;
  private final ExpertSlots slots;
  private final AdapterStep adapters;
  private final ExpertLoad load;
  private final LinearKernel linear;
  private final LoraKernel lora;
  private final FloatArray gathered = new FloatArray(arena);
  private final FloatArray gatheredScales = new FloatArray(arena);
  private final FloatArray gateUp = new FloatArray(arena);
  private final FloatArray inner = new FloatArray(arena);
  private final FloatArray innerScales = new FloatArray(arena);
  private final FloatArray results = new FloatArray(arena);
  private final List<FloatArray> products;

  /** By pair in the order of tokens, its slot. */
  private int[] slotOf = new int[0];

  /** By pair in the order of tokens, its place among the sorted. */
  private int[] places = new int[0];

  /** By slot, how many pairs take it, and then the place of the next; 0 between steps. */
  private int[] next = new int[0];

  /** Slots that some pair takes, in order. */
  private int[] used = new int[0];

  /** Of each of these, where its pairs start among the sorted; one more for the end. */
  private int[] starts = new int[1];

  private int usedCount;

  /**
   * @param quantise whether rows and weights are bytes
   * @param adapters of the session's steps
   * @param load counts what each expert is given
   * @param threads of the session
   */
  public ExpertOperator(
      ExpertShape shape,
      boolean quantise,
      ExpertSlots slots,
      AdapterStep adapters,
      ExpertLoad load,
      int threads) {
    this.shape = shape;
    this.quantise = quantise;
    this.slots = slots;
    this.adapters = adapters;
    this.load = load;
    this.linear =
        new LinearKernel(
            quantise ? PanelProducts.OF_BYTES : PanelProducts.OF_FLOATS, arena, threads);
    this.lora = new LoraKernel(arena, threads);
    this.products = IntStream.range(0, threads).mapToObj(i -> new FloatArray(arena)).toList();
  }

  /** The operator, for the session that it is used in. */
  public Operator operator() {
    ElementType real = ElementType.FLOAT;
    ElementType packed = quantise ? ElementType.UINT8 : real;
    return new Operator(
        quantise ? BYTES : FLOATS,
        List.of(packed, real, ElementType.INT64, real, packed, packed),
        List.of(real),
        PagedAttention.LAYER,
        layer -> context -> compute(context, (int) layer));
  }

  private void compute(KernelContext context, int layer) throws Throwable {
    int hidden = shape.hidden();
    int intermediate = shape.intermediate();
    int each = shape.perToken();
    long rows = context.input(0);
    long scales = context.input(1);
    long ids = context.input(2);
    long weights = context.input(3);
    long gateUps = context.input(4);
    long downs = context.input(5);
    int pairs = (int) context.elements(2);
    int tokens = pairs / each;
    if (tokens == 0) {
      throw new IllegalArgumentException("a step has no tokens");
    }
    long output = context.output(0, tokens, hidden);
    choose(ids, pairs, layer);
    sort(pairs, slots.count(layer));
    reserve(pairs);
    Pieces.share(context, pairs, (pair, worker) -> gather(rows, scales, pair / each, places[pair]));
    multiply(
        context,
        shape.gateUp(quantise),
        slot -> slot < shape.experts() ? 0 : slots.gateUp(layer, slot),
        gathered.address(),
        gatheredScales.address(),
        gateUps,
        gateUp.address());
    lora.add(
        context,
        segments(ids, layer, FeedForwardLora::gateUp),
        source(gathered, gatheredScales, hidden),
        gateUp.address(),
        2 * intermediate);
    Pieces.share(
        context,
        pairs,
        (place, worker) -> activate(place, intermediate, products.get(worker).address()));
    multiply(
        context,
        shape.down(quantise),
        slot -> slot < shape.experts() ? 0 : slots.down(layer, slot),
        inner.address(),
        innerScales.address(),
        downs,
        results.address());
    lora.add(
        context,
        segments(ids, layer, FeedForwardLora::down),
        source(inner, innerScales, intermediate),
        results.address(),
        hidden);
    Pieces.share(context, tokens, (token, worker) -> combine(token, each, hidden, weights, output));
  }

  private LoraKernel.Source source(FloatArray rows, FloatArray scales, int width) {
    return new LoraKernel.Source(
        quantise ? 0 : rows.address(), new ByteRows(rows.address(), scales.address(), width));
  }

  /** Gives each pair its slot, by the layer, the token's adapter and the expert, and counts it. */
  private void choose(long ids, int pairs, int layer) {
    if (slotOf.length < pairs) {
      slotOf = new int[pairs];
      places = new int[pairs];
    }
    int first = layer * shape.experts();
    long[] base = load.of(ExpertLoad.BASE);
    for (int pair = 0; pair < pairs; pair++) {
      int expert = expert(ids, pair);
      slotOf[pair] = expert;
      base[first + expert]++;
    }
    for (AdapterStep.Part part : adapters.parts()) {
      int[] map = part.layers().layer(layer).slots();
      long[] own = load.of(part.name());
      for (int token : part.tokens()) {
        for (int pair = token * shape.perToken(); pair < (token + 1) * shape.perToken(); pair++) {
          int expert = slotOf[pair];
          base[first + expert]--;
          own[first + expert]++;
          slotOf[pair] = map == null ? expert : map[expert];
        }
      }
    }
  }

  private static int expert(long ids, int pair) {
    return (int) Memory.ALL.get(JAVA_LONG_UNALIGNED, ids + (long) pair * Long.BYTES);
  }

  /** Counts every slot's pairs and gives each pair its place, by slot and then by token. */
  private void sort(int pairs, int slotCount) {
    if (next.length < slotCount) {
      next = new int[slotCount];
      used = new int[slotCount];
      starts = new int[slotCount + 1];
    }
    for (int pair = 0; pair < pairs; pair++) {
      next[slotOf[pair]]++;
    }
    usedCount = 0;
    int start = 0;
    for (int slot = 0; slot < slotCount; slot++) {
      int count = next[slot];
      if (count > 0) {
        used[usedCount] = slot;
        starts[usedCount++] = start;
        next[slot] = start;
        start += count;
      }
    }
    starts[usedCount] = start;
    for (int pair = 0; pair < pairs; pair++) {
      places[pair] = next[slotOf[pair]]++;
    }
    for (int i = 0; i < usedCount; i++) {
      next[used[i]] = 0;
    }
  }

  /**
   * Places of the pairs that a low-rank adapter changes, by adapter and expert: they stand among
   * those of the base's expert.
   */
  private List<LoraKernel.Segment> segments(
      long ids, int layer, Function<FeedForwardLora, Optional<LoraMatrices>> part) {
    List<LoraKernel.Segment> segments = new ArrayList<>();
    for (AdapterStep.Part adapter : adapters.parts()) {
      adapter
          .layers()
          .layer(layer)
          .experts()
          .forEach((expert, changes) ->
              part.apply(changes)
                  .ifPresent(matrices ->
                      segments.add(
                          new LoraKernel.Segment(
                              matrices, placesOf(ids, adapter.tokens(), expert)))));
    }
    return segments;
  }

  private int[] placesOf(long ids, int[] tokens, int expert) {
    int each = shape.perToken();
    return IntStream.of(tokens)
        .flatMap(token -> IntStream.range(token * each, (token + 1) * each))
        .filter(pair -> expert(ids, pair) == expert)
        .map(pair -> places[pair])
        .toArray();
  }

  private void reserve(int pairs) {
    gathered.reserve(floats(pairs, shape.gateUp(quantise)));
    gatheredScales.reserve(pairs);
    gateUp.reserve(2L * pairs * shape.intermediate());
    inner.reserve(floats(pairs, shape.down(quantise)));
    innerScales.reserve(pairs);
    results.reserve((long) pairs * shape.hidden());
    products.forEach(product -> product.reserve(shape.intermediate()));
  }

  /** That hold rows which a matrix reads. */
  private static long floats(int rows, PackedMatrix matrix) {
    return rows * matrix.rowBytes() / F + 1;
  }

  private void gather(long rows, long scales, int token, int place) {
    int bytes = (int) shape.gateUp(quantise).rowBytes();
    Memory.copyBytes(rows + (long) token * bytes, gathered.address() + (long) place * bytes, bytes);
    if (quantise) {
      Memory.put(gatheredScales.address() + place * F, Memory.get(scales + token * F));
    }
  }

  /** Where the weights of a slot are; 0 for the base's. */
  @FunctionalInterface
  private interface SlotWeights {
    long address(int slot);
  }

  /** Every slot's rows by its matrix. */
  private void multiply(
      KernelContext context,
      PackedMatrix matrix,
      SlotWeights lent,
      long rows,
      long scales,
      long base,
      long result)
      throws Throwable {
    int groups = (matrix.panels() + PANELS - 1) / PANELS;
    context.share(
        usedCount * groups,
        (piece, worker) -> {
          int index = piece / groups;
          int slot = used[index];
          long own = lent.address(slot);
          long weights = own == 0 ? base + slot * matrix.bytes() : own;
          int first = piece % groups * PANELS;
          for (int panel = first; panel < Math.min(first + PANELS, matrix.panels()); panel++) {
            linear.multiply(
                matrix,
                panel,
                starts[index],
                starts[index + 1],
                rows,
                scales,
                weights,
                result,
                worker);
          }
        });
  }

  private void activate(int place, int intermediate, long product) {
    long gate = gateUp.address() + 2L * place * intermediate * F;
    if (!quantise) {
      Activations.swiGlu(
          gate,
          gate + intermediate * F,
          intermediate,
          inner.address() + (long) place * intermediate * F);
      return;
    }
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
        + lora.bytes()
        + products.stream().mapToLong(FloatArray::bytes).sum();
  }

  @Override
  public void close() {
    arena.close();
  }
}
