package io.epidote.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.epidote.engine.checkpoint.LatentAttention;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.checkpoint.MoeConfig;
import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.checkpoint.VisionConfig;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Precision;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.model.VisionEncoder;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Measures one model without network or scheduler. Every figure is taken once in each round, with
 * the machine's limits beside it, so that what else the machine does falls on all of them; the
 * report has medians.
 */
final class EngineBench {
  /** Tokens that a prefill runs at a time, as the prefill stage does. */
  private final int prefillChunk;

  private final ModelConfig model;
  private final Precision precision;
  private final Decoder decoder;
  private final DecoderShape shape;
  private final BlockPool kv;
  private final int[] blocks;
  private final SplittableRandom random = new SplittableRandom(7);
  private final Samples samples = new Samples();

  /**
   * @param largestBatch of the decode measurements
   * @param longestContext of the decode measurements
   */
  EngineBench(
      ModelConfig model,
      Precision precision,
      Decoder decoder,
      int prefillChunk,
      int largestBatch,
      int longestContext) {
    this.model = model;
    this.precision = precision;
    this.decoder = decoder;
    this.shape = decoder.shape();
    this.prefillChunk = prefillChunk;
    int tokens = largestBatch * (longestContext + DecoderShape.BLOCK_TOKENS);
    this.kv = shape.kvPool(Math.max(64, DecoderShape.blocksFor(tokens)));
    this.blocks = kv.tryAllocate(kv.total()).orElseThrow();
    for (int plane = 0; plane < kv.planes(); plane++) {
      MemorySegment floats = kv.plane(plane);
      // Any values do, but not zeros, which the kernel may keep as one page.
      for (long i = 0; i < floats.byteSize() / Float.BYTES; i++) {
        floats.setAtIndex(JAVA_FLOAT, i, ((int) i * 0x9E37 >> 8 & 0xFF) / 256f - 0.5f);
      }
    }
  }

  void sample(String name, double value) {
    samples.add(name, value);
  }

  /** Drops all samples. */
  void forget() {
    samples.forget();
  }

  double median(String name) {
    return samples.median(name);
  }

  boolean has(String name) {
    return samples.has(name);
  }

  /** Tokens a second of a prompt of that length. */
  void prefill(String name, int tokens) {
    long start = System.nanoTime();
    for (int done = 0; done < tokens; done += prefillChunk) {
      int count = Math.min(prefillChunk, tokens - done);
      decoder.step(kv, List.of(chunk(done, count, 0, done + count == tokens)));
    }
    sample(name, tokens / seconds(start));
  }

  /** Tokens a second of a batch whose sequences have that context. */
  void decode(String name, int context, int batch, int steps) {
    long start = 0;
    for (int step = -1; step < steps; step++) {
      if (step == 0) {
        start = System.nanoTime();
      }
      List<SequenceChunk> chunks = new ArrayList<>();
      int each = DecoderShape.blocksFor(context + DecoderShape.BLOCK_TOKENS);
      for (int sequence = 0; sequence < batch; sequence++) {
        chunks.add(chunk(context + step + 1, 1, sequence * each, true));
      }
      decoder.step(kv, chunks);
    }
    sample(name, (double) batch * steps / seconds(start));
  }

  private SequenceChunk chunk(int past, int count, int firstBlock, boolean wantLogits) {
    int[] ids = random.ints(count, 0, shape.vocabulary()).toArray();
    int needed = DecoderShape.blocksFor(past + count);
    return new SequenceChunk(
        ids,
        past,
        Arrays.copyOfRange(blocks, firstBlock, firstBlock + needed),
        List.of(),
        wantLogits);
  }

  /** Milliseconds of a tile. */
  void encode(String name, VisionEncoder encoder, VisionConfig vision) {
    FloatBuffer tile = FloatBuffer.allocate(3 * vision.imageSize() * vision.imageSize());
    for (int i = 0; i < tile.limit(); i++) {
      tile.put(i, (float) random.nextDouble(-1, 1));
    }
    ByteBuffer out = ByteBuffer.allocateDirect(encoder.tileBytes()).order(ByteOrder.nativeOrder());
    long start = System.nanoTime();
    encoder.encode(List.of(tile), List.of(out));
    sample(name, seconds(start) * 1e3);
  }

  private static double seconds(long start) {
    return (System.nanoTime() - start) / 1e9;
  }

  /**
   * Floating-point operations of a prefill, per token: linear layers, and attention to half the
   * prompt on average.
   */
  double prefillFlops(int tokens) {
    TextConfig text = model.text();
    double attention = 4.0 * text.layers() * text.heads() * text.headDim() * (tokens + 1) / 2.0;
    return 2.0 * layerParameters() + attention + 2.0 * headParameters() / tokens;
  }

  /** Bytes of weights that a decode step of a dense model reads. */
  double weightBytesPerStep() {
    double bytes =
        switch (precision) {
          case FP32 -> 4;
          case INT8 -> 1;
          case INT4 -> 0.5 + 4.0 / 32;
        };
    return bytes * (layerParameters() + headParameters());
  }

  /** Bytes of keys and values that a sequence's step reads. */
  double kvBytes(int context) {
    return (double) shape.kvBlockBytes() / DecoderShape.BLOCK_TOKENS * context;
  }

  private double headParameters() {
    return (double) shape.vocabulary() * shape.hiddenSize();
  }

  /** Of all layers, with the experts that a token uses. */
  private double layerParameters() {
    TextConfig text = model.text();
    double attention =
        text.latent()
            .map(latent -> latentParameters(text, latent))
            .orElse(2.0 * text.hiddenSize() * (text.heads() + text.kvHeads()) * text.headDim());
    double sum = text.layers() * attention;
    for (int layer = 0; layer < text.layers(); layer++) {
      sum +=
          text.experts(layer)
              .map(moe -> expertParameters(text, moe))
              .orElse(3.0 * text.hiddenSize() * text.intermediateSize());
    }
    return sum;
  }

  private static double expertParameters(TextConfig text, MoeConfig moe) {
    return 3.0
            * text.hiddenSize()
            * (moe.expertsPerToken() * moe.expertIntermediateSize()
                + moe.sharedExpertIntermediateSize())
        + (double) text.hiddenSize() * moe.experts();
  }

  private static double latentParameters(TextConfig text, LatentAttention latent) {
    int hidden = text.hiddenSize();
    double queries = (double) text.heads() * text.headDim();
    int queryRank = latent.queryRank();
    return (queryRank == 0 ? queries * hidden : queryRank * (hidden + queries))
        + (double) hidden * (latent.rank() + latent.rotaryWidth())
        + (double) text.heads() * latent.rank() * (latent.plainWidth() + latent.valueWidth())
        + (double) text.heads() * latent.valueWidth() * hidden;
  }
}
