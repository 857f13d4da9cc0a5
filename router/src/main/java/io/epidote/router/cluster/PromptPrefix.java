package io.epidote.router.cluster;

import io.epidote.engine.memory.BlockKey;
import java.util.List;

/**
 * Short names of a prompt's full KV blocks, in order. Each depends on all of the prompt up to the
 * block's end. They are good for guessing which node has seen a prompt's beginning, not for finding
 * blocks: nodes have keys of their own.
 *
 * @param names one for each block
 */
public record PromptPrefix(List<Long> names) {
  /** Nothing is known of the prompt. */
  public static final PromptPrefix UNKNOWN = new PromptPrefix(List.of());

  public PromptPrefix {
    names = List.copyOf(names);
  }

  public static PromptPrefix of(List<BlockKey> keys) {
    return new PromptPrefix(keys.stream().map(BlockKey::a).toList());
  }
}
