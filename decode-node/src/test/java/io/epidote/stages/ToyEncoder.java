package io.epidote.stages;

import io.epidote.encode.TileSource;
import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.model.ModelMemory;
import io.epidote.engine.model.VisionEncoder;
import io.epidote.proto.stage.v1.MediaItem;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** Media tokens are a function of the tile's pixels. A file is a tile count and a few bytes. */
final class ToyEncoder implements VisionEncoder, TileSource {
  static final int TILE_TOKENS = 4;
  private static final int PIXELS = 12;

  /** Runs on the engine thread before each batch; may throw or wait. */
  volatile Runnable beforeBatch = () -> {};

  final List<Integer> batchSizes = new CopyOnWriteArrayList<>();

  @Override
  public List<FloatBuffer> tiles(MediaItem item) {
    byte[] file = item.getData().toByteArray();
    if (file[0] < 0) {
      throw new EpidoteException.InvalidRequest("This is not a picture; send one.");
    }
    List<FloatBuffer> tiles = new ArrayList<>();
    for (int tile = 0; tile < file[0]; tile++) {
      FloatBuffer pixels = FloatBuffer.allocate(PIXELS);
      for (int i = 0; i < PIXELS; i++) {
        pixels.put(i, file[1 + i % (file.length - 1)] * 3f + tile * 100 + i);
      }
      tiles.add(pixels);
    }
    return tiles;
  }

  @Override
  public void encode(List<FloatBuffer> tiles, List<ByteBuffer> outputs) {
    beforeBatch.run();
    batchSizes.add(tiles.size());
    for (int t = 0; t < tiles.size(); t++) {
      float sum = 0;
      for (int i = 0; i < PIXELS; i++) {
        sum = sum * 3 % 10007 + tiles.get(t).get(i);
      }
      for (int value = 0; value < TILE_TOKENS * hiddenSize(); value++) {
        outputs.get(t).putFloat(value * Float.BYTES, sum + value);
      }
    }
  }

  @Override
  public int tileTokens() {
    return TILE_TOKENS;
  }

  @Override
  public int hiddenSize() {
    return ToyDecoder.SHAPE.hiddenSize();
  }

  @Override
  public int maxBatch() {
    return 4;
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
    return 500;
  }

  @Override
  public void close() {}
}
