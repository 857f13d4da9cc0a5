package io.epidote.engine.model;

import io.epidote.engine.kernel.ExpertLoad;
import io.epidote.engine.memory.BlockPool;
import java.util.List;
import java.util.Optional;

/**
 * The model of prefill and decode: chunks of sequences in, logits and KV out. Used by one thread.
 */
public interface Decoder extends AutoCloseable {
  DecoderShape shape();

  /**
   * Runs one step over chunks of different sequences, prefill and decode alike. The keys and values
   * of the chunks' tokens are written into their blocks.
   *
   * @param kv the pool that holds the blocks of every chunk; {@link DecoderShape#kvBlockBytes()}
   *     bytes a block
   * @param batch at least one chunk
   * @return a row of logits for each chunk that wants them, in order; valid until the next step
   */
  Logits step(BlockPool kv, List<SequenceChunk> batch);

  /**
   * The same on a device that can do something else in between, as one with streams of several
   * priorities can: it does what is urgent first. Others run the step as it is.
   */
  default Logits step(BlockPool kv, List<SequenceChunk> batch, Interlude others) {
    return step(kv, batch);
  }

  /** The adapters that chunks may name. */
  Adapters adapters();

  /** What experts were given to do; empty where there are none, or they are not counted (int4). */
  default Optional<ExpertLoad> expertLoad() {
    return Optional.empty();
  }

  /** Bytes of the base's weights that this stage has loaded. */
  long weightBytes();

  /** {@link Precision#word} of these weights, or what else computes: {@code emulated}. */
  String precision();

  /** What this model takes of its process's memory; cheap, but a call into ONNX Runtime. */
  ModelMemory memory();

  @Override
  void close();
}
