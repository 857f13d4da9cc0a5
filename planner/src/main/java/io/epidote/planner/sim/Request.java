package io.epidote.planner.sim;

import io.epidote.proto.stage.v1.MediaItem;
import java.util.List;
import java.util.stream.IntStream;

/**
 * What a request is to a cluster.
 *
 * @param tiles of each picture
 * @param spans where in the prompt the tiles' media tokens go, in order of position
 * @param promptTokens media tokens included
 * @param answerTokens the first included
 */
public record Request(List<Integer> tiles, List<Span> spans, int promptTokens, int answerTokens) {
  /**
   * Media tokens of one tile.
   *
   * @param picture counted from 0
   * @param tile of that picture
   */
  public record Span(int picture, int tile, int position, int tokens) {
    int end() {
      return position + tokens;
    }
  }

  public Request {
    tiles = List.copyOf(tiles);
    spans = List.copyOf(spans);
    if (promptTokens < 1 || answerTokens < 1) {
      throw new IllegalArgumentException(
          "a request has at least a token of prompt and of answer, not %d and %d"
              .formatted(promptTokens, answerTokens));
    }
    if (spans.size() != tiles.stream().mapToInt(Integer::intValue).sum()) {
      throw new IllegalArgumentException(
          "%s tiles are not %d spans".formatted(tiles, spans.size()));
    }
  }

  /** The same with an answer of so many tokens. */
  public Request answer(int tokens) {
    return new Request(tiles, spans, promptTokens, tokens);
  }

  /**
   * Pictures as the router tells of them. They are the same bytes in every request; nodes that keep
   * media tokens are not simulated, so that nobody sees it.
   */
  List<MediaItem> items() {
    return IntStream.range(0, tiles.size())
        .mapToObj(picture ->
            MediaItem.newBuilder()
                .setIndex(picture)
                .setTiles(tiles.get(picture))
                .setSha256(com.google.protobuf.ByteString.copyFrom(digest(picture)))
                .build())
        .toList();
  }

  private static byte[] digest(int picture) {
    byte[] digest = new byte[32];
    digest[0] = (byte) picture;
    return digest;
  }

  /** By picture and tile, the place of its span. */
  int[][] spanOfTile() {
    int[][] places = new int[tiles.size()][];
    for (int picture = 0; picture < places.length; picture++) {
      places[picture] = new int[tiles.get(picture)];
    }
    for (int span = 0; span < spans.size(); span++) {
      places[spans.get(span).picture()][spans.get(span).tile()] = span;
    }
    return places;
  }
}
