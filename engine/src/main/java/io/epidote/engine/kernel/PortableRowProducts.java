package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Memory.FLOATS;
import static io.epidote.engine.kernel.Memory.LANES;
import static io.epidote.engine.kernel.PackedMatrix.COLUMNS;

import jdk.incubator.vector.FloatVector;

/** Floats with the Vector API, for processors that no code is generated for. */
final class PortableRowProducts implements PanelProducts {
  private static final long F = Float.BYTES;

  @Override
  public int maxRows() {
    return 1;
  }

  @Override
  public void multiply(
      int count, long rows, long rowBytes, long panel, int in, long scales, long to, long toBytes) {
    // Two vectors at a time: a vector has 16 lanes at most.
    for (int lane = 0; lane < COLUMNS; lane += 2 * LANES) {
      FloatVector first = FloatVector.zero(FLOATS);
      FloatVector second = FloatVector.zero(FLOATS);
      for (int i = 0; i < in; i++) {
        long weights = panel + ((long) i * COLUMNS + lane) * F;
        FloatVector x = Memory.broadcast(rows + i * F);
        first = x.fma(Memory.load(weights), first);
        second = x.fma(Memory.load(weights + LANES * F), second);
      }
      Memory.store(first, to + lane * F);
      Memory.store(second, to + (lane + LANES) * F);
    }
  }
}
