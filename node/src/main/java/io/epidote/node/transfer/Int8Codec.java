package io.epidote.node.transfer;

import static io.epidote.node.transfer.WireForm.Int8Kv.TOKENS;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** Turns heads of KV blocks into {@link WireForm.Int8Kv} and back. For one thread at a time. */
final class Int8Codec {
  private static final float LARGEST = 127;

  private final WireForm.Int8Kv form;
  private final int keyFloats;
  private final float[] floats;
  private final byte[] bytes;
  private final float[] scales = new float[2 * TOKENS];
  private final float[] factors = new float[2 * TOKENS];

  Int8Codec(WireForm.Int8Kv form) {
    this.form = form;
    this.keyFloats = form.keyWidth() * TOKENS;
    this.floats = new float[form.headFloats()];
    this.bytes = new byte[form.headFloats()];
  }

  WireForm.Int8Kv form() {
    return form;
  }

  /** Takes a head from {@code source} and puts it, a quarter as long, into {@code wire}. */
  void quantise(ByteBuffer source, ByteBuffer wire) {
    head(source).asFloatBuffer().get(floats);
    measure();
    for (int i = 0; i < keyFloats; i += TOKENS) {
      for (int token = 0; token < TOKENS; token++) {
        bytes[i + token] = rounded(floats[i + token] * factors[token]);
      }
    }
    for (int token = 0; token < TOKENS; token++) {
      float factor = factors[TOKENS + token];
      for (int i = value(token); i < value(token + 1); i++) {
        bytes[i] = rounded(floats[i] * factor);
      }
    }
    wire.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().put(scales);
    wire.position(wire.position() + WireForm.Int8Kv.SCALE_BYTES).put(bytes);
  }

  /** The other way round; what was divided and rounded differs by half its scale at the most. */
  void dequantise(ByteBuffer wire, ByteBuffer destination) {
    wire.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(scales);
    wire.position(wire.position() + WireForm.Int8Kv.SCALE_BYTES).get(bytes);
    for (int i = 0; i < keyFloats; i += TOKENS) {
      for (int token = 0; token < TOKENS; token++) {
        floats[i + token] = bytes[i + token] * scales[token];
      }
    }
    for (int token = 0; token < TOKENS; token++) {
      float scale = scales[TOKENS + token];
      for (int i = value(token); i < value(token + 1); i++) {
        floats[i] = bytes[i] * scale;
      }
    }
    head(destination).asFloatBuffer().put(floats);
  }

  /** The next head of blocks, which are in native order whatever the buffer says. */
  private ByteBuffer head(ByteBuffer blocks) {
    ByteBuffer head =
        blocks.slice(blocks.position(), form.headBytes()).order(ByteOrder.nativeOrder());
    blocks.position(blocks.position() + form.headBytes());
    return head;
  }

  /** Where a token's value begins; keys stand transposed before all values. */
  private int value(int token) {
    return keyFloats + token * form.valueWidth();
  }

  private void measure() {
    Arrays.fill(scales, 0);
    for (int i = 0; i < keyFloats; i += TOKENS) {
      for (int token = 0; token < TOKENS; token++) {
        scales[token] = Math.max(scales[token], Math.abs(floats[i + token]));
      }
    }
    for (int token = 0; token < TOKENS; token++) {
      float largest = 0;
      for (int i = value(token); i < value(token + 1); i++) {
        largest = Math.max(largest, Math.abs(floats[i]));
      }
      scales[TOKENS + token] = largest;
    }
    for (int row = 0; row < scales.length; row++) {
      float scale = scales[row] / LARGEST;
      // A row of nothing else has no factor: all of it becomes 0.
      boolean any = scale >= Float.MIN_NORMAL;
      scales[row] = any ? scale : 0;
      factors[row] = any ? 1 / scale : 0;
    }
  }

  private static byte rounded(float value) {
    return (byte) Math.rint(value);
  }
}
