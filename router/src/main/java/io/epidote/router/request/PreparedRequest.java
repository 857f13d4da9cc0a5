package io.epidote.router.request;

import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.router.cluster.PromptPrefix;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A request whose prompt is made: all that the stages are told.
 *
 * @param adapter its name, empty for none
 * @param items media to encode, in order
 * @param prefix for choosing nodes that have seen the prompt's beginning
 * @param maxTokens what the caller wants, cut to what the context leaves
 */
record PreparedRequest(
    GenerationRequest request,
    String adapter,
    ServedModel.Prompt prompt,
    List<MediaItem> items,
    PromptPrefix prefix,
    int maxTokens) {

  /** Index of each tile's span, by {@link #tile}. */
  Map<Long, Integer> spanOfTile() {
    Map<Long, Integer> spans = new HashMap<>();
    for (int i = 0; i < prompt.spans().size(); i++) {
      spans.put(tile(prompt.spans().get(i).getItem(), prompt.spans().get(i).getTile()), i);
    }
    return spans;
  }

  static long tile(int item, int tile) {
    return ((long) item << 32) | Integer.toUnsignedLong(tile);
  }

  int promptTokens() {
    return prompt.tokenIds().length;
  }
}
