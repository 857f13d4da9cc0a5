package io.epidote.stages;

import io.epidote.engine.kernel.AttentionShape;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Adapters;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Logits;
import io.epidote.engine.model.ModelMemory;
import io.epidote.engine.model.SequenceChunk;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;

/**
 * Writes a hash of token (or media row) and position as keys and values, and chooses the next token
 * by a hash over all rows so far, in order.
 */
final class ToyDecoder implements Decoder {
  static final DecoderShape SHAPE =
      new DecoderShape(
          2,
          new AttentionShape(
              1,
              1,
              4,
              4,
              0.5f,
              new AttentionShape.Rotation(0, 0, new float[0], new float[0]),
              layer -> 256),
          8,
          97,
          256);
  private static final int PLANES = 4;
  private static final int ROW_FLOATS = 4;

  /** Runs on the engine thread before each step; may throw or wait. */
  volatile Consumer<List<SequenceChunk>> beforeStep = batch -> {};

  final List<Integer> batchSizes = new CopyOnWriteArrayList<>();

  private final Adapters adapters = Adapters.withoutWeights();

  @Override
  public Adapters adapters() {
    return adapters;
  }

  @Override
  public DecoderShape shape() {
    return SHAPE;
  }

  @Override
  public Logits step(BlockPool kv, List<SequenceChunk> batch) {
    beforeStep.accept(batch);
    batchSizes.add(batch.size());
    List<float[]> rows = new ArrayList<>();
    for (SequenceChunk chunk : batch) {
      for (int i = 0; i < chunk.tokenIds().length; i++) {
        write(kv, chunk, chunk.pastTokens() + i, embed(chunk, i));
      }
      if (chunk.wantLogits()) {
        rows.add(logits(kv, chunk, chunk.pastTokens() + chunk.tokenIds().length));
      }
    }
    FloatBuffer values = FloatBuffer.allocate(rows.size() * SHAPE.vocabulary());
    rows.forEach(values::put);
    return new Logits(values.flip(), rows.size(), SHAPE.vocabulary());
  }

  private static int embed(SequenceChunk chunk, int i) {
    for (SequenceChunk.MediaRows media : chunk.media()) {
      if (i >= media.offset() && i < media.offset() + media.tokens()) {
        int hash = 7;
        int rowBytes = SHAPE.hiddenSize() * Float.BYTES;
        for (int b = 0; b < rowBytes; b++) {
          hash = hash * 31 + media.rows().get((i - media.offset()) * rowBytes + b);
        }
        return hash;
      }
    }
    return chunk.tokenIds()[i] * 7919;
  }

  private static void write(BlockPool kv, SequenceChunk chunk, int position, int hash) {
    ByteBuffer block = kv.block(chunk.blocks()[position / DecoderShape.BLOCK_TOKENS]);
    for (int plane = 0; plane < PLANES; plane++) {
      for (int column = 0; column < ROW_FLOATS; column++) {
        int mixed = (hash * 31 + position) * 31 + plane * 5 + column;
        // 20 bits are exact as a float.
        block.putFloat(at(position, plane, column), mixed & 0xFFFFF);
      }
    }
  }

  private static int at(int position, int plane, int column) {
    int slot = position % DecoderShape.BLOCK_TOKENS;
    return ((plane * DecoderShape.BLOCK_TOKENS + slot) * ROW_FLOATS + column) * Float.BYTES;
  }

  private static float[] logits(BlockPool kv, SequenceChunk chunk, int tokens) {
    int hash = 17;
    for (int position = 0; position < tokens; position++) {
      ByteBuffer block = kv.block(chunk.blocks()[position / DecoderShape.BLOCK_TOKENS]);
      for (int plane = 0; plane < PLANES; plane++) {
        for (int column = 0; column < ROW_FLOATS; column++) {
          hash = hash * 31 + (int) block.getFloat(at(position, plane, column));
        }
      }
    }
    float[] logits = new float[SHAPE.vocabulary()];
    for (int token = 0; token < logits.length; token++) {
      int mixed = (hash ^ (token * 0x9E3779B9)) * 0x85EBCA6B;
      logits[token] = (mixed >>> 12) / 65536f;
    }
    return logits;
  }

  @Override
  public String precision() {
    return "toy";
  }

  @Override
  public ModelMemory memory() {
    return new ModelMemory("", 0, 0);
  }

  @Override
  public long weightBytes() {
    return 1000;
  }

  @Override
  public void close() {}
}
