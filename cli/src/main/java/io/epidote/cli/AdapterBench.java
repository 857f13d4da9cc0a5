package io.epidote.cli;

import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.LoadedAdapter;
import io.epidote.engine.model.SequenceChunk;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;

/** Steps of a decoder with sequences of several adapters and of the base. */
final class AdapterBench {
  private static final int CONTEXT = 256;

  private final Decoder decoder;
  private final BlockPool kv;
  private final int[] blocks;
  private final int sequences;
  private long seed = 1;

  /**
   * @param sequences of the largest step
   */
  AdapterBench(Decoder decoder, int sequences) {
    this.decoder = decoder;
    this.sequences = sequences;
    this.kv = decoder.shape().kvPool(sequences * each());
    this.blocks = kv.tryAllocate(kv.total()).orElseThrow();
  }

  /** The next steps have other tokens, which are routed otherwise. */
  void change() {
    seed++;
  }

  private static int each() {
    return DecoderShape.blocksFor(CONTEXT + DecoderShape.BLOCK_TOKENS);
  }

  /**
   * Milliseconds of a step over prompts.
   *
   * @param adapters whose prompts they are, in turn
   */
  double prefillMs(int prompts, int tokens, List<Optional<LoadedAdapter>> adapters) {
    return stepMs(prompts, 0, tokens, adapters);
  }

  /**
   * Milliseconds of a step that gives each of some answers a token.
   *
   * @param adapters whose answers they are, in turn
   */
  double decodeMs(int answers, List<Optional<LoadedAdapter>> adapters) {
    return stepMs(answers, CONTEXT, 1, adapters);
  }

  private double stepMs(int count, int past, int tokens, List<Optional<LoadedAdapter>> adapters) {
    if (count > sequences) {
      throw new IllegalArgumentException(count + " sequences, room for " + sequences);
    }
    SplittableRandom random = new SplittableRandom(seed);
    List<SequenceChunk> batch = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      int[] own = new int[each()];
      System.arraycopy(blocks, i * each(), own, 0, each());
      int[] ids = random.ints(tokens, 0, decoder.shape().vocabulary()).toArray();
      batch.add(
          new SequenceChunk(ids, past, own, List.of(), true, adapters.get(i % adapters.size())));
    }
    long start = System.nanoTime();
    decoder.step(kv, batch);
    return (System.nanoTime() - start) / 1e6;
  }
}
