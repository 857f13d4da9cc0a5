package io.epidote.router.cluster;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.MediaKeys;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.v1.EncodeLoad;
import io.epidote.proto.v1.Stage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.function.Consumer;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * The nodes that are registered now. Readers take an immutable snapshot that is swapped as a whole;
 * only {@link RegistryEndpoint} changes it. Thread-safe.
 */
public final class Cluster {
  /** Requests that a node may have more than another one and still be chosen for its cache. */
  private static final int WORTH_OF_A_MATCH = 2;

  private final List<Consumer<Boolean>> readyListeners = new CopyOnWriteArrayList<>();
  // One for each stage: a shared one would give every other node every other stage.
  private final AtomicIntegerArray turns = new AtomicIntegerArray(StageNames.ALL.size() + 1);
  private volatile List<Member> members = List.of();

  /** The nodes by id. */
  public List<Member> members() {
    return members;
  }

  /** Stages that no node has; nothing can be served while there is one. */
  public List<Stage> missingStages() {
    return missing(members, StageNames.ALL);
  }

  private static List<Stage> missing(List<Member> now, List<Stage> needed) {
    return needed.stream()
        .filter(stage -> now.stream().noneMatch(member -> member.stages().contains(stage)))
        .toList();
  }

  public boolean ready() {
    return missingStages().isEmpty();
  }

  /** Tells {@code listener} now and after every change whether the cluster can serve. */
  public synchronized void onReadiness(Consumer<Boolean> listener) {
    readyListeners.add(listener);
    listener.accept(ready());
  }

  /**
   * Chooses a node for prefill and decode each: the one that probably has the most of the prompt in
   * its cache, unless others have clearly less to do, else the least loaded one.
   *
   * @param encodes whether there are media to encode, for which {@link #shard} needs a node
   * @throws EpidoteException.Unavailable naming the missing stages and what to start
   */
  public Placement place(boolean encodes, PromptPrefix prompt) {
    List<Member> now = members;
    List<Stage> needed =
        encodes ? StageNames.ALL : List.of(Stage.STAGE_PREFILL, Stage.STAGE_DECODE);
    List<Stage> missing = missing(now, needed);
    if (!missing.isEmpty()) {
      throw new EpidoteException.Unavailable(missingMessage(missing));
    }
    Member prefill = longestMatch(now, Stage.STAGE_PREFILL, prompt);
    Member decode = longestMatch(now, Stage.STAGE_DECODE, prompt);
    prefill.prefixes().sent(prompt);
    decode.prefixes().sent(prompt);
    return new Placement(prefill.seat(Stage.STAGE_PREFILL), decode.seat(Stage.STAGE_DECODE));
  }

  private Member longestMatch(List<Member> now, Stage stage, PromptPrefix prompt) {
    Member least = leastLoaded(now, stage);
    int most = least.load(stage) + WORTH_OF_A_MATCH;
    Member best = least;
    int longest = least.prefixes().match(prompt);
    for (Member member : now) {
      int match = member.prefixes().match(prompt);
      if (match > longest && member.stages().contains(stage) && member.load(stage) <= most) {
        best = member;
        longest = match;
      }
    }
    return best;
  }

  /**
   * Divides media over the encode nodes, by what each has cached, has to do and takes for a tile.
   *
   * @param items all tiles of each are wanted
   * @throws EpidoteException.Unavailable when no node encodes
   */
  public List<EncodeShard> shard(List<MediaItem> items) {
    List<Member> encoders = encoders();
    if (encoders.isEmpty()) {
      throw new EpidoteException.Unavailable(missingMessage(List.of(Stage.STAGE_ENCODE)));
    }
    List<EncodePlanner.Share> shares = EncodePlanner.plan(pictures(items), costs(encoders));
    List<EncodeShard> shards = new ArrayList<>();
    for (int node = 0; node < encoders.size(); node++) {
      List<MediaItem> wanted = new ArrayList<>();
      for (EncodePlanner.Share share : shares) {
        if (share.node() == node) {
          List<Integer> tiles = Arrays.stream(share.tiles()).boxed().toList();
          wanted.add(items.get(share.picture()).toBuilder().addAllWanted(tiles).build());
        }
      }
      if (!wanted.isEmpty()) {
        wanted.sort(Comparator.comparing(MediaItem::getIndex));
        shards.add(new EncodeShard(encoders.get(node), wanted));
      }
    }
    return shards;
  }

  /** Those with fewer stages first, because the others have more to do; equals take turns. */
  private List<Member> encoders() {
    List<Member> encoders =
        new ArrayList<>(
            members.stream()
                .filter(member -> member.stages().contains(Stage.STAGE_ENCODE))
                .toList());
    Collections.rotate(encoders, turns.getAndIncrement(Stage.STAGE_ENCODE_VALUE));
    encoders.sort(Comparator.comparingInt(member -> member.stages().size()));
    return encoders;
  }

  private static List<EncodePlanner.Picture> pictures(List<MediaItem> items) {
    return items.stream()
        .map(item -> {
          byte[] digest = item.getSha256().toByteArray();
          return new EncodePlanner.Picture(
              IntStream.range(0, item.getTiles())
                  .mapToLong(tile -> MediaKeys.tag(digest, tile))
                  .toArray());
        })
        .toList();
  }

  /** Where a node has measured nothing yet, it is taken for one like the others. */
  private static List<EncodePlanner.Node> costs(List<Member> encoders) {
    double usualTile = usual(encoders, EncodeLoad::getTileMs, 1);
    double usualPicture = usual(encoders, EncodeLoad::getPictureMs, 0);
    return encoders.stream()
        .map(member -> {
          EncodeBacklog encodes = member.encodes();
          EncodeLoad load = encodes.latest();
          double tileMs = load.getTileMs() > 0 ? load.getTileMs() : usualTile;
          return new EncodePlanner.Node(
              encodes.waitingTiles() * tileMs,
              tileMs,
              load.getPictureMs() > 0 ? load.getPictureMs() : usualPicture,
              Math.max(1, load.getBatch()) * tileMs,
              encodes::has);
        })
        .toList();
  }

  private static double usual(
      List<Member> encoders, ToDoubleFunction<EncodeLoad> cost, double otherwise) {
    return encoders.stream()
        .map(member -> member.encodes().latest())
        .mapToDouble(cost)
        .filter(ms -> ms > 0)
        .average()
        .orElse(otherwise);
  }

  /** What to tell whoever needs stages that no node has. */
  public static String missingMessage(List<Stage> missing) {
    String names = missing.stream().map(StageNames::of).collect(Collectors.joining(", "));
    return "No node serves the %s %s; start one with `epidote node --stages %s` and point it at this router."
        .formatted(names, missing.size() == 1 ? "stage" : "stages", names.replace(" ", ""));
  }

  /**
   * A node with fewer stages wins among equals: one that holds all of them is better kept for
   * requests that find no other. What is still equal takes turns.
   */
  private Member leastLoaded(List<Member> now, Stage stage) {
    // Loads move while they are compared, so each is read once.
    record Rated(Member member, int load, int stages) {}
    Comparator<Rated> order = Comparator.comparingInt(Rated::load).thenComparingInt(Rated::stages);
    List<Rated> rated =
        now.stream()
            .filter(member -> member.stages().contains(stage))
            .map(member -> new Rated(member, member.load(stage), member.stages().size()))
            .sorted(order)
            .toList();
    List<Rated> equals =
        rated.stream().filter(other -> order.compare(other, rated.getFirst()) == 0).toList();
    int turn = Math.floorMod(turns.getAndIncrement(stage.getNumber()), equals.size());
    return equals.get(turn).member();
  }

  synchronized void add(Member joined) {
    swap(
        Stream.concat(members.stream(), Stream.of(joined))
            .sorted(Comparator.comparing(Member::id))
            .toList());
  }

  synchronized void remove(Member left) {
    swap(members.stream().filter(member -> member != left).toList());
  }

  private void swap(List<Member> next) {
    members = next;
    boolean ready = ready();
    readyListeners.forEach(listener -> listener.accept(ready));
  }
}
