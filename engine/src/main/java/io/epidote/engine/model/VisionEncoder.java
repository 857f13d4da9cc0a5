package io.epidote.engine.model;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.List;

/** The encode stage's model: tiles in, media tokens out. Used by one thread. */
public interface VisionEncoder extends AutoCloseable {
  /** Media tokens that one tile becomes. */
  int tileTokens();

  /** The decoder's hidden size, which media tokens have. */
  int hiddenSize();

  /** Bytes of one tile's media tokens, {@code [tileTokens, hiddenSize]} float32. */
  default int tileBytes() {
    return tileTokens() * hiddenSize() * Float.BYTES;
  }

  /** Tiles worth putting in one batch. */
  int maxBatch();

  /**
   * Encodes a batch.
   *
   * @param tiles normalised pixels, each {@code [3, size, size]}
   * @param outputs where each tile's media tokens go: {@link #tileBytes()} bytes from position 0,
   *     native order
   */
  void encode(List<FloatBuffer> tiles, List<ByteBuffer> outputs);

  /** Bytes of the weights that this stage has loaded. */
  long weightBytes();

  /** As {@link Decoder#precision}. */
  String precision();

  /** As {@link Decoder#memory}. */
  ModelMemory memory();

  @Override
  void close();
}
