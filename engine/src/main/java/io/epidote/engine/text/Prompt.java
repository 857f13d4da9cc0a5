package io.epidote.engine.text;

import java.util.List;

/**
 * A tokenised prompt. Not to be changed by who receives it.
 *
 * @param tokenIds the whole sequence, with the image token wherever a media token goes
 * @param spans one for each tile, in order of position
 * @param mediaTokens of all spans together
 */
@SuppressWarnings("ArrayRecordComponent") // token ids go to the graph as they are
public record Prompt(int[] tokenIds, List<Span> spans, int mediaTokens) {
  public Prompt {
    spans = List.copyOf(spans);
  }
}
