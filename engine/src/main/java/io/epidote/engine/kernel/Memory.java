package io.epidote.engine.kernel;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
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
   * At most 256 bits, so that two vectors are at most the 16 tokens of a block. The number of lanes
   * decides the order of some sums: it is the same on every node of a kind.
   */
  static final VectorSpecies<Float> FLOATS =
      FloatVector.SPECIES_PREFERRED.length() > 8
          ? FloatVector.SPECIES_256
          : FloatVector.SPECIES_PREFERRED;

  static final VectorSpecies<Integer> INTS =
      FLOATS.length() == 8 ? IntVector.SPECIES_256 : IntVector.SPECIES_128;

  static final int LANES = FLOATS.length();

  private Memory() {}

  static FloatVector load(long address) {
    return FloatVector.fromMemorySegment(FLOATS, ALL, address, ORDER);
  }

  static void store(FloatVector vector, long address) {
    vector.intoMemorySegment(ALL, address, ORDER);
  }

  static FloatVector broadcast(long address) {
    return FloatVector.broadcast(FLOATS, ALL.get(FLOAT, address));
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

  static void clear(long address, long floats) {
    ALL.asSlice(address, floats * Float.BYTES).fill((byte) 0);
  }
}
