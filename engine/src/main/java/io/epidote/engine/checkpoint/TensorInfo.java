package io.epidote.engine.checkpoint;

import java.nio.file.Path;
import java.util.List;

/**
 * Where a tensor is.
 *
 * @param shape row-major; empty for a scalar
 * @param file the safetensors file that holds it
 * @param offset of its first byte from the file's start
 * @param bytes its length
 */
public record TensorInfo(
    String name, DType dtype, List<Long> shape, Path file, long offset, long bytes) {
  public TensorInfo {
    shape = List.copyOf(shape);
  }

  /** The number of elements. */
  public long elements() {
    return bytes / dtype.bytes();
  }
}
