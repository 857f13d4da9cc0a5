package io.epidote.node.transfer;

import io.epidote.engine.model.DecoderShape;

/** How the bytes behind a handle travel. What arrives has the handle's bytes in every form. */
public sealed interface WireForm {
  /** As they are. */
  Exact EXACT = new Exact();

  /** Bytes on the wire for so many behind the handle. */
  long wireBytes(long bytes);

  /** Whether so many bytes that stand together can travel so. */
  boolean fits(long bytes);

  /** As they are, and without a copy. */
  record Exact() implements WireForm {
    @Override
    public long wireBytes(long bytes) {
      return bytes;
    }

    @Override
    public boolean fits(long bytes) {
      return true;
    }
  }

  /**
   * KV blocks with a byte for each float, which loses precision: of every head a token's key, and
   * its value, are divided by a scale of their own, so that the largest becomes 127. A head of a
   * block is 16 scales of keys and 16 of values as float32, then keys and values as they stand in
   * the block.
   *
   * @param keyWidth floats of a key
   * @param valueWidth floats of a value
   */
  record Int8Kv(int keyWidth, int valueWidth) implements WireForm {
    static final int TOKENS = DecoderShape.BLOCK_TOKENS;
    static final int SCALE_BYTES = 2 * TOKENS * Float.BYTES;

    public Int8Kv {
      if (keyWidth < 1 || valueWidth < 1 || keyWidth + (long) valueWidth > 1 << 20) {
        throw new IllegalArgumentException(
            "no head has keys of %d and values of %d floats".formatted(keyWidth, valueWidth));
      }
    }

    int headFloats() {
      return TOKENS * (keyWidth + valueWidth);
    }

    int headBytes() {
      return headFloats() * Float.BYTES;
    }

    int headWireBytes() {
      return SCALE_BYTES + headFloats();
    }

    @Override
    public long wireBytes(long bytes) {
      return bytes / headBytes() * headWireBytes();
    }

    @Override
    public boolean fits(long bytes) {
      return bytes % headBytes() == 0;
    }
  }
}
