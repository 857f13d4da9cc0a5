package io.epidote.engine.kernel;

import java.lang.foreign.Arena;

/** Native floats that grow to the largest step seen; freed with the arena. */
final class FloatArray {
  private static final int ALIGNMENT = 64;

  private final Arena arena;
  private long floats;
  private long taken;
  private long address;

  FloatArray(Arena arena) {
    this.arena = arena;
  }

  /** Makes room for as many; what was in it is lost when it grows. */
  void reserve(long wanted) {
    if (wanted > floats) {
      // Contexts grow token by token; half as much again keeps what is outgrown small.
      floats = wanted * 3 / 2;
      taken += floats;
      address = arena.allocate(floats * Float.BYTES, ALIGNMENT).address();
    }
  }

  /** Bytes taken from the arena, with what was outgrown. */
  long bytes() {
    return taken * Float.BYTES;
  }

  long address() {
    return address;
  }
}
