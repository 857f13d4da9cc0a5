package io.epidote.engine.emulated;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import io.epidote.engine.cost.CostStage;
import io.epidote.engine.cost.ExpertReads;
import io.epidote.engine.cost.StepWork;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Adapters;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Interlude;
import io.epidote.engine.model.Logits;
import io.epidote.engine.model.ModelMemory;
import io.epidote.engine.model.SequenceChunk;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.zip.CRC32C;

/**
 * A token's keys and values are a hash of the token (or its media row), of what stands in the
 * blocks for the token before, and of what stands there for one earlier token, in a plane that the
 * hash chooses. So the next token depends on every token before, and a block that is missing,
 * misplaced or damaged soon shows in the answer, at a cost that does not grow with the context.
 */
final class EmulatedDecoder implements Decoder {
  /** Of the chosen token's logit over all others, which are 0: nothing else is ever sampled. */
  private static final float MARGIN = 1000;

  private final CostProfile costs;
  private final StepClock clock;
  private final ExpertReads experts;
  private final DecoderShape shape;
  private final Set<Integer> never;
  private final Adapters adapters;
  private FloatBuffer logits = FloatBuffer.allocate(0);
  private final List<Integer> written = new ArrayList<>();

  /**
   * @param experts of the model that it stands for
   * @param never tokens that are not chosen: those that end an answer
   * @param adapters that change answers and take no time
   */
  EmulatedDecoder(
      CostProfile costs,
      StepClock clock,
      ExpertReads experts,
      DecoderShape shape,
      Set<Integer> never,
      Adapters adapters) {
    this.costs = costs;
    this.clock = clock;
    this.experts = experts;
    this.shape = shape;
    this.never = Set.copyOf(never);
    this.adapters = adapters;
  }

  @Override
  public DecoderShape shape() {
    return shape;
  }

  @Override
  public Logits step(BlockPool kv, List<SequenceChunk> batch) {
    return step(kv, batch, StepClock.NOTHING);
  }

  @Override
  public Logits step(BlockPool kv, List<SequenceChunk> batch, Interlude others) {
    long start = System.nanoTime();
    int rows = 0;
    clearLogits((int) batch.stream().filter(SequenceChunk::wantLogits).count());
    for (SequenceChunk chunk : batch) {
      long last = run(kv, chunk);
      if (chunk.wantLogits()) {
        choose(rows++, last);
      }
    }
    finish(start, batch, others);
    return new Logits(logits, rows, shape.vocabulary());
  }

  /** A step of chunks of both kinds is two, one after the other. */
  private void finish(long start, List<SequenceChunk> batch, Interlude others) {
    List<SequenceChunk> prompts =
        batch.stream().filter(chunk -> chunk.tokenIds().length > 1).toList();
    List<SequenceChunk> answers =
        batch.stream().filter(chunk -> chunk.tokenIds().length == 1).toList();
    double decodeMs = 0;
    if (!answers.isEmpty()) {
      StepWork.Decode work = StepWork.Decode.of(answers);
      decodeMs = costs.decode().ms(work.withExperts(experts.distinct(work.answers())));
    }
    if (prompts.isEmpty()) {
      clock.finish(CostStage.DECODE, start, decodeMs, others);
      return;
    }
    StepWork.Prefill work = StepWork.Prefill.of(prompts);
    double prefillMs = costs.prefill().ms(work.withExperts(experts.distinct(work.tokens())));
    clock.finish(CostStage.PREFILL, start, prefillMs + decodeMs);
  }

  private long run(BlockPool kv, SequenceChunk chunk) {
    int past = chunk.pastTokens();
    long hash = past == 0 ? adapterHash(chunk) : read(kv, chunk, past - 1, 0);
    long[] inputs = inputs(chunk);
    for (int i = 0; i < inputs.length; i++) {
      int position = past + i;
      hash = mix(hash ^ inputs[i]);
      if (position > 0) {
        int earlier = (int) Long.remainderUnsigned(hash, position);
        int plane = (int) Long.remainderUnsigned(hash >>> 32, kv.planes());
        hash = mix(hash + read(kv, chunk, earlier, plane));
      }
      for (int plane = 0; plane < kv.planes(); plane++) {
        kv.plane(plane).set(JAVA_LONG_UNALIGNED, at(kv, chunk, position), hash);
      }
    }
    return hash;
  }

  private static long adapterHash(SequenceChunk chunk) {
    return chunk.adapter().map(a -> Long.parseUnsignedLong(a.digest(), 0, 16, 16)).orElse(0L);
  }

  private long[] inputs(SequenceChunk chunk) {
    long[] inputs = new long[chunk.tokenIds().length];
    for (int i = 0; i < inputs.length; i++) {
      inputs[i] = chunk.tokenIds()[i];
    }
    int rowBytes = shape.hiddenSize() * Float.BYTES;
    for (SequenceChunk.MediaRows media : chunk.media()) {
      for (int row = 0; row < media.tokens(); row++) {
        CRC32C checksum = new CRC32C();
        checksum.update(media.rows().slice(row * rowBytes, rowBytes));
        // Not a token of any vocabulary.
        inputs[media.offset() + row] = ~checksum.getValue();
      }
    }
    return inputs;
  }

  private static long read(BlockPool kv, SequenceChunk chunk, int position, int plane) {
    return kv.plane(plane).get(JAVA_LONG_UNALIGNED, at(kv, chunk, position));
  }

  private static long at(BlockPool kv, SequenceChunk chunk, int position) {
    int planeBytes = kv.blockBytes() / kv.planes();
    int block = chunk.blocks()[position / DecoderShape.BLOCK_TOKENS];
    int slot = position % DecoderShape.BLOCK_TOKENS;
    return (long) block * planeBytes + slot * (planeBytes / DecoderShape.BLOCK_TOKENS);
  }

  private static long mix(long value) {
    long mixed = (value ^ value >>> 30) * 0xBF58476D1CE4E5B9L;
    mixed = (mixed ^ mixed >>> 27) * 0x94D049BB133111EBL;
    return mixed ^ mixed >>> 31;
  }

  private void clearLogits(int rows) {
    int needed = rows * shape.vocabulary();
    if (logits.capacity() < needed) {
      logits =
          ByteBuffer.allocateDirect(needed * Float.BYTES)
              .order(ByteOrder.nativeOrder())
              .asFloatBuffer();
    } else {
      written.forEach(at -> logits.put(at, 0));
    }
    written.clear();
  }

  private void choose(int row, long hash) {
    int token = (int) Long.remainderUnsigned(hash, shape.vocabulary());
    while (never.contains(token)) {
      token = (token + 1) % shape.vocabulary();
    }
    int at = row * shape.vocabulary() + token;
    logits.put(at, MARGIN);
    written.add(at);
  }

  @Override
  public long weightBytes() {
    return 0;
  }

  @Override
  public Adapters adapters() {
    return adapters;
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
