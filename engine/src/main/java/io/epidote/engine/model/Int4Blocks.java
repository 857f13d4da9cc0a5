package io.epidote.engine.model;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;

/**
 * Rows of 4-bit weights in the form of ONNX Runtime's MatMulNBits: blocks of 32, the even element
 * in a byte's low half, each value 8 above what it stands for.
 */
final class Int4Blocks {
  static final int LENGTH = 32;
  static final int BYTES = LENGTH / 2;
  private static final int ZERO = 8;

  private Int4Blocks() {}

  /** Blocks of a row. */
  static int count(int columns) {
    return (columns + LENGTH - 1) / LENGTH;
  }

  /** Packs one row; a block's element of largest magnitude becomes -8, which uses all 16 values. */
  static void pack(FloatBuffer row, ByteBuffer packed, int at, float[] scales, int firstScale) {
    int columns = row.limit();
    for (int block = 0; block < count(columns); block++) {
      int start = block * LENGTH;
      float extreme = 0;
      for (int i = start; i < Math.min(start + LENGTH, columns); i++) {
        if (Math.abs(row.get(i)) > Math.abs(extreme)) {
          extreme = row.get(i);
        }
      }
      float scale = extreme / -ZERO;
      scales[firstScale + block] = scale;
      for (int i = 0; i < BYTES; i++) {
        int low = quantise(row, start + 2 * i, scale);
        int high = quantise(row, start + 2 * i + 1, scale);
        packed.put(at + block * BYTES + i, (byte) (low | high << 4));
      }
    }
  }

  private static int quantise(FloatBuffer row, int i, float scale) {
    if (i >= row.limit() || scale == 0) {
      return ZERO;
    }
    return Math.clamp(Math.round(row.get(i) / scale) + ZERO, 0, 15);
  }
}
