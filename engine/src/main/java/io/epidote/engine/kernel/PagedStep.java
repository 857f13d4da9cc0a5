package io.epidote.engine.kernel;

import java.util.ArrayList;
import java.util.List;

/**
 * Where the tokens of a step stand: those of each sequence one after the other.
 *
 * @param planes addresses of the pool's planes, by layer
 * @param positions of each token in its sequence
 * @param sequences of each token, which
 * @param starts of each sequence, its first token here
 * @param blocks of each sequence, its block table
 */
public record PagedStep(
    long[] planes, int[] positions, int[] sequences, int[] starts, int[][] blocks) {
  static final PagedStep NONE =
      new PagedStep(new long[0], new int[0], new int[0], new int[0], new int[0][]);

  /** Consecutive tokens of a sequence for one KV head. */
  record Unit(int head, int firstToken, int tokens) {}

  int tokens() {
    return positions.length;
  }

  int position(int token) {
    return positions[token];
  }

  long plane(int layer) {
    return planes[layer];
  }

  int block(int token, int index) {
    return blocks[sequences[token]][index];
  }

  /** Tokens times what each sees, roughly. */
  long work() {
    long work = 0;
    for (int position : positions) {
      work += position + 1;
    }
    return work;
  }

  /** Units of at most {@code unitTokens} tokens, the longest first. */
  List<Unit> units(int unitTokens, int kvHeads) {
    List<Unit> units = new ArrayList<>();
    for (int sequence = starts.length - 1; sequence >= 0; sequence--) {
      int end = sequence + 1 < starts.length ? starts[sequence + 1] : positions.length;
      int count = end - starts[sequence];
      for (int last = count; last > 0; last -= unitTokens) {
        int first = Math.max(0, last - unitTokens);
        for (int head = 0; head < kvHeads; head++) {
          units.add(new Unit(head, starts[sequence] + first, last - first));
        }
      }
    }
    return units;
  }
}
