package io.epidote.engine.emulated;

import io.epidote.engine.cost.CostStage;
import io.epidote.engine.cost.StepWork;
import io.epidote.engine.model.ModelMemory;
import io.epidote.engine.model.VisionEncoder;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.SplittableRandom;
import java.util.zip.CRC32C;

/** Media tokens are random numbers whose seed is the tile's checksum. */
final class EmulatedVisionEncoder implements VisionEncoder {
  private final CostProfile costs;
  private final StepClock clock;
  private final int tileTokens;
  private final int hiddenSize;

  EmulatedVisionEncoder(CostProfile costs, StepClock clock, int tileTokens, int hiddenSize) {
    this.costs = costs;
    this.clock = clock;
    this.tileTokens = tileTokens;
    this.hiddenSize = hiddenSize;
  }

  @Override
  public int tileTokens() {
    return tileTokens;
  }

  @Override
  public int hiddenSize() {
    return hiddenSize;
  }

  @Override
  public int maxBatch() {
    return EmulatedModels.MAX_TILES;
  }

  @Override
  public void encode(List<FloatBuffer> tiles, List<ByteBuffer> outputs) {
    long start = System.nanoTime();
    for (int i = 0; i < tiles.size(); i++) {
      SplittableRandom random = new SplittableRandom(checksum(tiles.get(i)));
      FloatBuffer tokens =
          outputs.get(i).slice(0, tileBytes()).order(outputs.get(i).order()).asFloatBuffer();
      while (tokens.hasRemaining()) {
        tokens.put((random.nextInt() >> 8) * 0x1p-23f);
      }
    }
    clock.finish(CostStage.ENCODE, start, costs.encode().ms(new StepWork.Encode(tiles.size())));
  }

  private static long checksum(FloatBuffer tile) {
    CRC32C checksum = new CRC32C();
    checksum.update(MemorySegment.ofBuffer(tile).asByteBuffer());
    return checksum.getValue();
  }

  @Override
  public long weightBytes() {
    return 0;
  }

  @Override
  public String precision() {
    return EmulatedModels.PRECISION;
  }

  @Override
  public ModelMemory memory() {
    return EmulatedModels.NO_MEMORY;
  }

  @Override
  public void close() {}
}
