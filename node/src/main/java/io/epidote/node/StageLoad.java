package io.epidote.node;

import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.ModelMemory;
import io.epidote.node.kv.KvMemory;
import java.util.List;
import java.util.function.Supplier;

/**
 * What a stage is doing.
 *
 * @param running requests that have what they need to compute, or whose result is waited for
 * @param queued requests that wait for something of this node: blocks, a turn, a pull
 * @param awaiting requests whose input other stages are still making
 * @param ending requests that are over for their caller but whose pulls have not ended yet
 * @param kv memory of KV blocks in use here; stages of a node may share one
 * @param mediaPools pools of media tokens in use here
 * @param weights what is loaded; stages of a node that share a model name the same group
 */
public record StageLoad(
    int running,
    int queued,
    int awaiting,
    int ending,
    List<KvMemory> kv,
    List<BlockPool> mediaPools,
    Weights weights) {
  /**
   * @param name vision or decoder
   * @param precision of the weights, or {@code emulated}
   * @param memory what of it is in memory; on the engine thread
   */
  public record Weights(String name, long bytes, String precision, Supplier<ModelMemory> memory) {}

  /** Whether no request holds anything. */
  boolean isIdle() {
    return running + queued + awaiting + ending == 0;
  }
}
