package io.epidote.engine.kernel;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/**
 * Native memory by address. Kernels read what ONNX Runtime and the block pools own; a segment for
 * each tensor of each step would cost more than small kernels do.
 */
final class Memory {
  /** All of it. */
  static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

  static final ByteOrder ORDER = ByteOrder.nativeOrder();

  static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;

  /**
   * The machine's widest, up to 512 bits: a vector is then at most the 16 tokens of a block. The
   * number of lanes decides the order of some sums: it is the same on every node of a kind.
   */
  static final VectorSpecies<Float> FLOATS =
      FloatVector.SPECIES_PREFERRED.length() > AttentionShape.BLOCK_TOKENS
          ? FloatVector.SPECIES_512
          : FloatVector.SPECIES_PREFERRED;

  static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, FLOATS.vectorShape());

  static final int LANES = FLOATS.length();

  private static final VectorShuffle<Float> EIGHT_ON = lanesFurther(8);
  private static final VectorShuffle<Float> FOUR_ON = lanesFurther(4);
  private static final VectorShuffle<Float> TWO_ON = lanesFurther(2);

  private Memory() {}

  private static VectorShuffle<Float> lanesFurther(int count) {
    return VectorShuffle.fromOp(FLOATS, lane -> (lane + count) % LANES);
  }

  static FloatVector load(long address) {
    return FloatVector.fromMemorySegment(FLOATS, ALL, address, ORDER);
  }

  /** Lanes that are not set are 0, and what they stand for is not read. */
  static FloatVector load(long address, VectorMask<Float> lanes) {
    return FloatVector.fromMemorySegment(FLOATS, ALL, address, ORDER, lanes);
  }

  static void store(FloatVector vector, long address, VectorMask<Float> lanes) {
    vector.intoMemorySegment(ALL, address, ORDER, lanes);
  }

  /** The lanes of a row's last vector, which begins at {@code from}, that are in the row. */
  static VectorMask<Float> tail(int from, int width) {
    return FLOATS.indexInRange(from, width);
  }

  static void store(FloatVector vector, long address) {
    vector.intoMemorySegment(ALL, address, ORDER);
  }

  static FloatVector broadcast(long address) {
    return FloatVector.broadcast(FLOATS, ALL.get(FLOAT, address));
  }

  /** The sum of all lanes, halves first: always in this order, compiled or not. */
  static float sum(FloatVector vector) {
    FloatVector lanes = FloatVector.zero(FLOATS).add(vector);
    FloatVector eight = LANES > 8 ? lanes.add(lanes.rearrange(EIGHT_ON)) : lanes;
    FloatVector four = LANES > 4 ? eight.add(eight.rearrange(FOUR_ON)) : eight;
    FloatVector two = four.add(four.rearrange(TWO_ON));
    return two.lane(0) + two.lane(1);
  }

  /** The largest lane. Maxima do not depend on their order, unlike sums. */
  static float max(FloatVector vector) {
    return FloatVector.broadcast(FLOATS, Float.NEGATIVE_INFINITY)
        .max(vector)
        .reduceLanes(VectorOperators.MAX);
  }

  static float get(long address) {
    return ALL.get(FLOAT, address);
  }

  static void put(long address, float value) {
    ALL.set(FLOAT, address, value);
  }

  static void copy(long from, long to, int floats) {
    MemorySegment.copy(ALL, from, ALL, to, (long) floats * Float.BYTES);
  }

  static void copyBytes(long from, long to, int bytes) {
    MemorySegment.copy(ALL, from, ALL, to, bytes);
  }

  static void clear(long address, long floats) {
    ALL.asSlice(address, floats * Float.BYTES).fill((byte) 0);
  }
}
