package io.epidote.router.cluster;

import io.epidote.engine.memory.MediaKeys;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.v1.Stage;
import io.epidote.router.cluster.Member.Seat;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * One encode node's part of a request, counted there until its tiles are ready or its seat is
 * released. Used within the request's turn.
 */
public final class EncodeShard {
  private record Tile(int item, int tile) {}

  private final Seat seat;
  private final List<MediaItem> items;
  private final EncodeBacklog backlog;
  private final Map<Tile, Long> pending = new HashMap<>();

  EncodeShard(Member member, List<MediaItem> items) {
    this.items = List.copyOf(items);
    this.backlog = member.encodes();
    for (MediaItem item : items) {
      byte[] digest = item.getSha256().toByteArray();
      for (int tile : item.getWantedList()) {
        long tag = MediaKeys.tag(digest, tile);
        pending.put(new Tile(item.getIndex(), tile), tag);
        backlog.ask(tag);
      }
    }
    this.seat = member.seat(Stage.STAGE_ENCODE, this::giveUp);
  }

  public Seat seat() {
    return seat;
  }

  /** The media with the tiles that are wanted of this node. */
  public List<MediaItem> items() {
    return items;
  }

  /** The node has announced a tile; false when it was not asked for it, or has before. */
  public boolean ready(int item, int tile) {
    Long tag = pending.remove(new Tile(item, tile));
    if (tag != null) {
      backlog.ready(tag);
    }
    return tag != null;
  }

  /** Tiles that were not announced. */
  public int pending() {
    return pending.size();
  }

  private void giveUp() {
    pending.values().forEach(backlog::giveUp);
  }
}
