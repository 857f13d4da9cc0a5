package io.epidote.engine.checkpoint;

import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.nio.FloatBuffer;

/** Tensors by name. */
public interface TensorSource {
  /**
   * Puts a tensor's elements, converted to float32, at the destination's position and moves the
   * position behind them.
   *
   * @throws BadCheckpoint when the tensor is missing, of another shape or not of floats
   */
  void readFloats(String name, FloatBuffer destination, long... shape);
}
