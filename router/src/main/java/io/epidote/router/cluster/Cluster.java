package io.epidote.router.cluster;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.MediaKeys;
import io.epidote.node.discovery.Peer;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.v1.AdapterStatus;
import io.epidote.proto.v1.Stage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import java.util.function.Predicate;
import java.util.function.ToIntFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * The nodes that are registered now. Readers take an immutable snapshot that is swapped as a whole;
 * only {@link RegistryEndpoint} changes it. Thread-safe.
 */
public final class Cluster {
  private final List<Consumer<Boolean>> readyListeners = new CopyOnWriteArrayList<>();
  // One for each stage: a shared one would give every other node every other stage.
  private final AtomicIntegerArray turns = new AtomicIntegerArray(StageNames.ALL.size() + 1);
  private final PlacementRules rules;
  private final Demand demand;

  /** When each stage last had a node, by {@link System#nanoTime}; only those that once had one. */
  private final Map<Stage, Long> lastHad = new ConcurrentHashMap<>();

  private volatile List<Member> members = List.of();
  private Set<Peer> peers = Set.of();

  public Cluster(PlacementRules rules) {
    this(rules, System::nanoTime);
  }

  /**
   * @param clock in nanoseconds
   */
  Cluster(PlacementRules rules, LongSupplier clock) {
    this.rules = rules;
    this.demand = new Demand(clock);
  }

  /** The nodes by id. */
  public List<Member> members() {
    return members;
  }

  /** What is asked of the nodes. */
  public Demand demand() {
    return demand;
  }

  /** What requests like those of late cost, and what waits. */
  public StageWork work(Demand.Rates rates) {
    return StageWork.of(members, rates);
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

  /**
   * Whether it is only a matter of time until there is a node of each stage: those that have none
   * to take requests had one less than so long ago.
   *
   * @param media whether encode nodes are needed, too
   */
  public boolean comesBack(boolean media, long withinMs) {
    long since = System.nanoTime() - TimeUnit.MILLISECONDS.toNanos(withinMs);
    List<Member> taking = members.stream().filter(member -> !member.isDraining()).toList();
    List<Stage> gone = missing(members, StageNames.ALL);
    List<Stage> missing = missing(taking, needed(media));
    return !missing.isEmpty()
        && missing.stream()
            .allMatch(stage ->
                !gone.contains(stage)
                    || (lastHad.containsKey(stage) && lastHad.get(stage) - since > 0));
  }

  private static List<Stage> needed(boolean media) {
    return media ? StageNames.ALL : List.of(Stage.STAGE_PREFILL, Stage.STAGE_DECODE);
  }

  /** Tells {@code listener} now and after every change whether the cluster can serve. */
  public synchronized void onReadiness(Consumer<Boolean> listener) {
    readyListeners.add(listener);
    listener.accept(ready());
  }

  /**
   * Chooses the nodes on which the request is predicted to be fastest now.
   *
   * @param items media to encode, all tiles of each
   * @param promptTokens media tokens included
   * @param adapter its name, empty for none
   * @throws EpidoteException.Unavailable naming what is missing and what to start
   * @throws EpidoteException.NotFound when no node of a stage has the adapter
   */
  public Placement place(
      List<MediaItem> items, int promptTokens, PromptPrefix prompt, String adapter) {
    return place(items, promptTokens, prompt, adapter, Set.of());
  }

  /**
   * The same, but on certain nodes only where a stage has no others.
   *
   * @param avoiding nodes on which the request has failed
   */
  public Placement place(
      List<MediaItem> items,
      int promptTokens,
      PromptPrefix prompt,
      String adapter,
      Set<Member> avoiding) {
    List<Member> now = inOrder(!items.isEmpty());
    List<Stage> missing = missing(now, needed(!items.isEmpty()));
    if (!missing.isEmpty()) {
      throw new EpidoteException.Unavailable(missingMessage(missing));
    }
    checkAdapter(adapter);
    // Surroundings may be wrong about all nodes at once, when a Service is deleted: a node that is
    // leaving is better than none.
    for (Predicate<Member> wanted :
        List.<Predicate<Member>>of(
            member -> !avoiding.contains(member) && !member.isLeaving(),
            member -> !avoiding.contains(member))) {
      List<Member> some = now.stream().filter(wanted).toList();
      if (some.size() < now.size()) {
        Optional<Placement> there = tryPlace(some, items, promptTokens, prompt, adapter);
        if (there.isPresent()) {
          return there.get();
        }
      }
    }
    return tryPlace(now, items, promptTokens, prompt, adapter)
        .orElseThrow(() -> new EpidoteException.Unavailable(impossibleMessage()));
  }

  private Optional<Placement> tryPlace(
      List<Member> now,
      List<MediaItem> items,
      int promptTokens,
      PromptPrefix prompt,
      String adapter) {
    List<TopologyPlanner.Node> nodes = NodeCosts.of(now, prompt, adapter);
    List<TopologyPlanner.Choice> best =
        TopologyPlanner.best(
            new TopologyPlanner.Request(
                pictures(items), promptTokens, NodeCosts.tileMib(now), NodeCosts.tokenMib(now)),
            nodes,
            rules);
    if (best.isEmpty()) {
      return Optional.empty();
    }
    TopologyPlanner.Choice choice = inTurn(now, best);
    Member prefill = now.get(choice.prefill());
    Member decode = now.get(choice.decode());
    boolean waits =
        prefill.promptTokens().waiting() > 0
            || choice.shares().stream()
                .anyMatch(share -> now.get(share.node()).encodes().waitingTiles() > 0);
    prefill.prefixes().sent(prompt);
    decode.prefixes().sent(prompt);
    long tokens = Math.max(1, promptTokens - nodes.get(choice.prefill()).cachedTokens());
    prefill.promptTokens().add(tokens);
    decode.answers().add(1);
    return Optional.of(
        new Placement(
            choice.topology(),
            shards(items, now, choice.shares()),
            prefill.seat(Stage.STAGE_PREFILL, () -> prefill.promptTokens().remove(tokens)),
            decode.seat(Stage.STAGE_DECODE, () -> decode.answers().remove(1)),
            choice.firstTokenMs(),
            choice.kvEarly(),
            waits));
  }

  /**
   * Fails when an adapter is not known to a stage that needs it: no request is to wait for that.
   *
   * @param adapter its name, empty for none
   * @throws EpidoteException.NotFound naming the stage and what to do
   */
  public void checkAdapter(String adapter) {
    List<Member> now = members;
    for (Stage stage : List.of(Stage.STAGE_PREFILL, Stage.STAGE_DECODE)) {
      List<Member> of = now.stream().filter(member -> member.stages().contains(stage)).toList();
      if (!of.isEmpty() && of.stream().noneMatch(member -> member.hasAdapter(adapter))) {
        throw new EpidoteException.NotFound(
            "No node that serves the %s stage has the adapter \"%s\"; load it with `epidote adapter load %s DIR`."
                .formatted(
                    StageNames.of(stage),
                    adapter.length() > 100 ? adapter.substring(0, 100) + "…" : adapter,
                    adapter.matches("[A-Za-z0-9._-]{1,64}") ? adapter : "NAME"));
      }
    }
  }

  /** Names of the adapters that requests can name: known to every stage that needs them. */
  public List<String> adapters() {
    return members.stream()
        .flatMap(member -> member.status().getAdaptersList().stream())
        .map(AdapterStatus::getName)
        .distinct()
        .sorted()
        .filter(name ->
            Stream.of(Stage.STAGE_PREFILL, Stage.STAGE_DECODE)
                .allMatch(stage ->
                    members.stream()
                        .anyMatch(
                            member -> member.stages().contains(stage) && member.hasAdapter(name))))
        .toList();
  }

  /** Those with fewer stages first, because the others have more to do; encoders take turns. */
  private List<Member> inOrder(boolean encodes) {
    List<Member> now =
        new ArrayList<>(members.stream().filter(member -> !member.isDraining()).toList());
    if (encodes) {
      Collections.rotate(now, turn(Stage.STAGE_ENCODE));
    }
    now.sort(Comparator.comparingInt(member -> member.stages().size()));
    return now;
  }

  /** Of choices that are equally good, nodes take turns, in each stage for itself. */
  private TopologyPlanner.Choice inTurn(List<Member> now, List<TopologyPlanner.Choice> equals) {
    List<TopologyPlanner.Choice> left =
        inTurn(now, equals, TopologyPlanner.Choice::prefill, turn(Stage.STAGE_PREFILL));
    return inTurn(now, left, TopologyPlanner.Choice::decode, turn(Stage.STAGE_DECODE)).getFirst();
  }

  private static List<TopologyPlanner.Choice> inTurn(
      List<Member> now,
      List<TopologyPlanner.Choice> equals,
      ToIntFunction<TopologyPlanner.Choice> node,
      int turn) {
    if (equals.size() == 1) {
      return equals;
    }
    int[] candidates =
        equals.stream()
            .mapToInt(node)
            .distinct()
            .boxed()
            .sorted(Comparator.comparing(index -> now.get(index).id()))
            .mapToInt(Integer::intValue)
            .toArray();
    int next = candidates[Math.floorMod(turn, candidates.length)];
    return equals.stream().filter(choice -> node.applyAsInt(choice) == next).toList();
  }

  private int turn(Stage stage) {
    return turns.getAndIncrement(stage.getNumber());
  }

  private static List<EncodeShard> shards(
      List<MediaItem> items, List<Member> now, List<EncodePlanner.Share> shares) {
    List<EncodeShard> shards = new ArrayList<>();
    for (int node = 0; node < now.size(); node++) {
      List<MediaItem> wanted = new ArrayList<>();
      for (EncodePlanner.Share share : shares) {
        if (share.node() == node) {
          List<Integer> tiles = Arrays.stream(share.tiles()).boxed().toList();
          wanted.add(items.get(share.picture()).toBuilder().addAllWanted(tiles).build());
        }
      }
      if (!wanted.isEmpty()) {
        wanted.sort(Comparator.comparing(MediaItem::getIndex));
        shards.add(new EncodeShard(now.get(node), wanted));
      }
    }
    return shards;
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

  private String impossibleMessage() {
    return "No nodes here can serve the topology %s, to which this router is held; start nodes with such stages, or run the router with --topology auto."
        .formatted(rules.topology().map(Topology::label).orElse("auto"));
  }

  /** What to tell whoever needs stages that no node has. */
  public static String missingMessage(List<Stage> missing) {
    String names = missing.stream().map(StageNames::of).collect(Collectors.joining(", "));
    return "No node serves the %s %s; start one with `epidote node --stages %s` and point it at this router."
        .formatted(names, missing.size() == 1 ? "stage" : "stages", names.replace(" ", ""));
  }

  /**
   * Learns what the cluster's surroundings know of its nodes: those that are to stop, or are there
   * no more, get new requests only where no others can serve them. What they have goes on until
   * they or their silence end it.
   */
  public synchronized void seen(Set<Peer> everybody) {
    peers = everybody;
    members.forEach(member -> member.seen(everybody));
  }

  synchronized void add(Member joined) {
    joined.seen(peers);
    swap(
        Stream.concat(members.stream(), Stream.of(joined))
            .sorted(Comparator.comparing(Member::id))
            .toList());
  }

  synchronized void remove(Member left) {
    swap(members.stream().filter(member -> member != left).toList());
  }

  private void swap(List<Member> next) {
    long now = System.nanoTime();
    members.forEach(member -> member.stages().forEach(stage -> lastHad.put(stage, now)));
    members = next;
    boolean ready = ready();
    readyListeners.forEach(listener -> listener.accept(ready));
  }
}
