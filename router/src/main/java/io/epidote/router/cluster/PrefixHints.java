package io.epidote.router.cluster;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What a node probably has in its prefix cache: the prompts that this router sent there of late. A
 * hint and no more: blocks may have been evicted, and other routers send prompts, too. It is
 * forgotten when the node leaves, because it belongs to the node's registration. Thread-safe.
 */
final class PrefixHints {
  /** A block's name takes some 60 bytes here. */
  private static final int MOST = 1 << 16;

  private final Map<Long, Boolean> blocks;

  /**
   * @param kvBlocks blocks of the node's pool; more than that it cannot have
   */
  PrefixHints(int kvBlocks) {
    int most = Math.min(kvBlocks, MOST);
    this.blocks =
        new LinkedHashMap<>(16, 0.75f, true) {
          @Override
          protected boolean removeEldestEntry(Map.Entry<Long, Boolean> eldest) {
            return size() > most;
          }
        };
  }

  /** How many of the prompt's first blocks the node probably has. */
  synchronized int match(PromptPrefix prompt) {
    int matched = 0;
    for (Long name : prompt.names()) {
      if (!blocks.containsKey(name)) {
        break;
      }
      matched++;
    }
    return matched;
  }

  /** The prompt goes there. */
  synchronized void sent(PromptPrefix prompt) {
    // The last block first: of a prompt that does not fit, the beginning stays.
    for (Long name : prompt.names().reversed()) {
      blocks.put(name, true);
    }
  }
}
