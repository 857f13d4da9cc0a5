package io.epidote.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.epidote.engine.cost.CostFit.Measured;
import io.epidote.engine.cost.CostStage;
import io.epidote.engine.cost.ExpertReads;
import io.epidote.engine.cost.StepWork;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Logits;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.model.VisionEncoder;
import io.epidote.engine.sampling.BatchSampler;
import io.epidote.engine.sampling.SamplingOptions;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;

/** Measures steps of a model as its stages run them, sampling included. */
final class StepBench implements AutoCloseable {
  private static final SamplingOptions GREEDY = new SamplingOptions(1, 0, 1, 0, 7, true, -1);

  private final Decoder decoder;
  private final ExpertReads experts;
  private final List<VisionEncoder> encoder;
  private final int tileFloats;
  private final BatchSampler sampler;
  private final BlockPool kv;
  private final int[] blocks;
  private final Random random = new Random(7);
  private final Samples samples = new Samples();

  /**
   * @param encoder at most one, whose tiles have {@code tileFloats} numbers
   * @param blocks KV blocks to measure with
   */
  StepBench(
      Decoder decoder,
      ExpertReads experts,
      List<VisionEncoder> encoder,
      int tileFloats,
      int threads,
      int blocks) {
    this.decoder = decoder;
    this.experts = experts;
    this.encoder = List.copyOf(encoder);
    this.tileFloats = tileFloats;
    this.sampler = new BatchSampler(threads);
    this.kv = decoder.shape().kvPool(blocks);
    this.blocks = kv.tryAllocate(blocks).orElseThrow();
    for (int plane = 0; plane < kv.planes(); plane++) {
      MemorySegment floats = kv.plane(plane);
      // Any values do, but not zeros, which the kernel may keep as one page.
      for (long i = 0; i < floats.byteSize() / Float.BYTES; i++) {
        floats.setAtIndex(JAVA_FLOAT, i, ((int) i * 0x9E37 >> 8 & 0xFF) / 256f - 0.5f);
      }
    }
  }

  /** Runs every shape once, in an order of its own. */
  void round(List<StepShape> shapes) {
    List<StepShape> order = new ArrayList<>(shapes);
    Collections.shuffle(order, random);
    order.forEach(shape -> samples.add(shape.toString(), millis(shape)));
  }

  /** Drops all measurements. */
  void forget() {
    samples.forget();
  }

  /** What a step of the shape took, the median of all rounds. */
  Measured measured(StepShape shape) {
    return new Measured(work(shape), samples.median(shape.toString()));
  }

  private StepWork work(StepShape shape) {
    return switch (shape.stage()) {
      case ENCODE -> new StepWork.Encode(shape.sequences());
      case PREFILL -> {
        StepWork.Prefill work = StepWork.Prefill.of(chunks(shape));
        yield work.withExperts(experts.distinct(work.tokens()));
      }
      case DECODE -> {
        StepWork.Decode work = StepWork.Decode.of(chunks(shape));
        yield work.withExperts(experts.distinct(work.answers()));
      }
    };
  }

  private double millis(StepShape shape) {
    if (shape.stage() == CostStage.ENCODE) {
      return encodeMillis(shape.sequences());
    }
    List<SequenceChunk> chunks = chunks(shape);
    long start = System.nanoTime();
    Logits logits = decoder.step(kv, chunks);
    var _ =
        sampler.sample(
            logits,
            chunks.stream().map(chunk -> new BatchSampler.Row(GREEDY, shape.past())).toList());
    return (System.nanoTime() - start) / 1e6;
  }

  private List<SequenceChunk> chunks(StepShape shape) {
    List<SequenceChunk> chunks = new ArrayList<>();
    int each = DecoderShape.blocksFor(shape.past() + shape.tokens());
    for (int sequence = 0; sequence < shape.sequences(); sequence++) {
      chunks.add(
          new SequenceChunk(
              random.ints(shape.tokens(), 0, decoder.shape().vocabulary()).toArray(),
              shape.past(),
              Arrays.copyOfRange(blocks, sequence * each, (sequence + 1) * each),
              List.of(),
              true));
    }
    return chunks;
  }

  private double encodeMillis(int tiles) {
    VisionEncoder model = encoder.getFirst();
    List<FloatBuffer> inputs = Stream.generate(this::tile).limit(tiles).toList();
    List<ByteBuffer> outputs =
        Stream.generate(
                () -> ByteBuffer.allocateDirect(model.tileBytes()).order(ByteOrder.nativeOrder()))
            .limit(tiles)
            .toList();
    long start = System.nanoTime();
    model.encode(inputs, outputs);
    return (System.nanoTime() - start) / 1e6;
  }

  private FloatBuffer tile() {
    FloatBuffer tile =
        ByteBuffer.allocateDirect(tileFloats * Float.BYTES)
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer();
    for (int i = 0; i < tileFloats; i++) {
      tile.put(i, random.nextFloat() * 2 - 1);
    }
    return tile;
  }

  @Override
  public void close() {
    sampler.close();
  }
}
