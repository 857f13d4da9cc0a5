package io.epidote.router.cluster;

import io.epidote.router.cluster.EncodePlanner.Picture;
import io.epidote.router.cluster.EncodePlanner.Share;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntPredicate;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Finds the nodes on which a request is predicted to be fastest, and with them its topology.
 *
 * <p>For every node that prefills, every set of nodes that could encode for it and every node that
 * decodes, it predicts when the first token is there and when the answer goes on behind it: what
 * waits there, what is computed, and what is moved, each by what nodes have measured. The least of
 * the latter wins; what is in a prefix cache is neither computed nor moved. Stages of a node take
 * turns on one thread, so each waits for what the others have to do. What a request costs those
 * that are under way already is not predicted.
 */
final class TopologyPlanner {
  /** Tokens whose KV blocks are left to move when the first token is there. */
  private static final int LAST_PART = 256;

  /** Most tokens of a prompt in a step of which KV blocks are to move before the prompt is done. */
  private static final int EARLY_STEP = 512;

  /** Times that differ by a smaller part of themselves are equal. */
  private static final double EQUAL = 1e-6;

  /** {@code fixedMs}, and {@code unitMs} for each unit. */
  record Cost(double fixedMs, double unitMs) {
    double ms(double units) {
      return fixedMs + unitMs * units;
    }

    /** Nothing when nothing waits. */
    double queueMs(long units) {
      return units > 0 ? ms(units) : 0;
    }
  }

  /**
   * A prefill stage.
   *
   * @param step for a number of prompt tokens
   * @param pull of media tokens, for a number of MiB
   * @param load requests there, which decides among equals
   */
  record Prefill(Cost step, Cost pull, long waitingTokens, int load) {}

  /**
   * A decode stage.
   *
   * @param step for a number of answers
   * @param pull of KV blocks, for a number of MiB
   * @param load requests there, which decides among equals
   */
  record Decode(Cost step, Cost pull, long answers, int load) {}

  /**
   * A node: its stages, those that it has.
   *
   * @param cachedTokens of the prompt, from its beginning
   */
  record Node(
      EncodePlanner.@Nullable Node encode,
      @Nullable Prefill prefill,
      @Nullable Decode decode,
      int cachedTokens) {
    int stages() {
      return (encode == null ? 0 : 1) + (prefill == null ? 0 : 1) + (decode == null ? 0 : 1);
    }

    private double prefillMs() {
      return prefill == null ? 0 : prefill.step().queueMs(prefill.waitingTokens());
    }

    /** Until a new prompt's turn, answers aside: encode steps come between prompts' steps. */
    double busyMs() {
      double prompts = prefillMs();
      double tiles = encode == null ? 0 : Math.min(encode.queueMs(), prompts + encode.batchMs());
      return prompts + tiles;
    }

    /** Until a new prompt's first step. */
    double waitMs() {
      return busyMs() + (decode == null ? 0 : decode.step().queueMs(decode.answers()));
    }

    /** Until a prompt would be through here, were all of its media tokens there. */
    double firstTurnMs(int tokens) {
      double step = prefill == null ? 0 : prefill.step().ms(Math.max(1, tokens - cachedTokens));
      return waitMs() + step;
    }

    /** Until an answer that is here would go on. */
    double nextTokenMs() {
      return busyMs() + (decode == null ? 0 : decode.step().ms(decode.answers() + 1));
    }

    /** Until a new tile would be encoded. */
    double tileTurnMs() {
      return encode == null ? 0 : encode.queueMs() + prefillMs() + encode.tileMs();
    }

    /** Prompts' steps are few and large beside encode steps: those that wait are through first. */
    private EncodePlanner.Node encoder(EncodePlanner.Node alone) {
      return new EncodePlanner.Node(
          alone.queueMs() + prefillMs(),
          alone.tileMs(),
          alone.pictureMs(),
          alone.batchMs(),
          alone.has());
    }
  }

  /**
   * @param tokens of the prompt, media tokens included
   * @param tileMib of a tile's media tokens
   * @param tokenMib of a token's keys and values
   */
  record Request(List<Picture> pictures, int tokens, double tileMib, double tokenMib) {}

  /**
   * A way to place the request. Nodes are indices.
   *
   * @param shares which node encodes what
   * @param firstTokenMs until the first token
   * @param secondTokenMs until the answer goes on, which is what is made small
   * @param kvEarly whether KV blocks are to move before the prompt is done
   */
  record Choice(
      Topology topology,
      List<Share> shares,
      int prefill,
      int decode,
      double firstTokenMs,
      double secondTokenMs,
      boolean kvEarly,
      int load,
      int stages) {}

  private static final Comparator<Choice> AMONG_EQUALS =
      Comparator.<Choice>comparingInt(choice -> choice.topology().hops())
          .thenComparingInt(Choice::load)
          // A node of few stages is of no use to most other requests.
          .thenComparingInt(Choice::stages);

  private final Request request;
  private final List<Node> nodes;
  private final PlacementRules rules;
  private final Candidates candidates;

  /** Of encoders, whichever node prefills. */
  private final List<List<Integer>> sets;

  private final Map<List<Integer>, List<EncodePlanner.Plan>> plans = new HashMap<>();

  private TopologyPlanner(
      Request request, List<Node> nodes, PlacementRules rules, Candidates candidates) {
    this.request = request;
    this.nodes = nodes;
    this.rules = rules;
    this.candidates = candidates;
    this.sets =
        Stream.concat(sets(index -> nodes.get(index).prefill() == null), sets(index -> true))
            .distinct()
            .toList();
  }

  /**
   * @param nodes of those that encode, the first of equals is preferred
   * @return the best choices, all equally good; none when the nodes do not have what it takes
   */
  static List<Choice> best(Request request, List<Node> nodes, PlacementRules rules) {
    List<Choice> all =
        new TopologyPlanner(request, nodes, rules, Candidates.best(request, nodes)).all();
    double least = all.stream().mapToDouble(Choice::secondTokenMs).min().orElse(0);
    List<Choice> fastest =
        all.stream().filter(choice -> choice.secondTokenMs() <= least * (1 + EQUAL)).toList();
    return fastest.stream()
        .min(AMONG_EQUALS)
        .map(best ->
            fastest.stream().filter(choice -> AMONG_EQUALS.compare(choice, best) == 0).toList())
        .orElse(List.of());
  }

  /** Every choice that there is, with what is predicted of it. */
  static List<Choice> all(Request request, List<Node> nodes, PlacementRules rules) {
    return new TopologyPlanner(request, nodes, rules, Candidates.all(nodes)).all();
  }

  private List<Choice> all() {
    List<Choice> choices = new ArrayList<>();
    for (int p : candidates.prefill()) {
      Prefill prefill = nodes.get(p).prefill();
      if (prefill == null) {
        continue;
      }
      for (List<EncodePlanner.Plan> ways : encodes(p)) {
        EncodePlanner.Plan encodes = better(ways, p, prefill);
        boolean moves = moved(encodes, p) > 0;
        double wholeMs = firstTokenMs(encodes, p, prefill);
        double moreStepsMs = moves ? 0 : moreStepsMs(p, prefill);
        for (int d : candidates.decode()) {
          Decode decode = nodes.get(d).decode();
          Topology topology = Topology.of(!request.pictures().isEmpty(), moves, p != d);
          if (decode != null && allowed(topology)) {
            boolean early = rules.overlap() && p != d && savedMs(p, decode) >= moreStepsMs;
            double firstTokenMs = early ? wholeMs + moreStepsMs : wholeMs;
            choices.add(
                new Choice(
                    topology,
                    encodes.shares(),
                    p,
                    d,
                    firstTokenMs,
                    secondTokenMs(firstTokenMs, p, d, decode, early),
                    early,
                    prefill.load() + decode.load(),
                    nodes.get(p).stages() + nodes.get(d).stages()));
          }
        }
      }
    }
    return choices;
  }

  private boolean allowed(Topology topology) {
    return rules
        .topology()
        .map(only -> request.pictures().isEmpty() ? only.withoutEncode() : only)
        .filter(only -> only != topology)
        .isEmpty();
  }

  /**
   * The prefill node encodes, or nodes that do not prefill, or all that can; where a topology is
   * forced, the prefill node or all others. All but the first are the same for every prefill node,
   * so that a large cluster is searched as fast as a small one. Of those, the candidates alone.
   */
  private List<List<EncodePlanner.Plan>> encodes(int prefill) {
    if (request.pictures().isEmpty()) {
      return List.of(List.of(EncodePlanner.Plan.NOTHING));
    }
    Stream<List<Integer>> apart =
        rules.topology().isPresent() ? sets(index -> index != prefill) : sets.stream();
    return Stream.concat(here(prefill), apart)
        .distinct()
        .map(set -> plans.computeIfAbsent(set, this::plan))
        .toList();
  }

  private Stream<List<Integer>> here(int prefill) {
    return nodes.get(prefill).encode() == null ? Stream.of() : Stream.of(List.of(prefill));
  }

  /** All encoders of a kind together, or where media are not divided each alone. */
  private Stream<List<Integer>> sets(IntPredicate wanted) {
    List<Integer> encoders =
        Arrays.stream(candidates.encode())
            .filter(index -> nodes.get(index).encode() != null)
            .filter(wanted)
            .boxed()
            .toList();
    return rules.sharding() != Sharding.NONE
        ? Stream.of(encoders).filter(set -> !set.isEmpty())
        : encoders.stream().map(List::of);
  }

  /** Dividing more must be worth it: others pay for pictures that are decoded twice. */
  private EncodePlanner.Plan better(List<EncodePlanner.Plan> ways, int node, Prefill prefill) {
    EncodePlanner.Plan first = ways.getFirst();
    EncodePlanner.Plan last = ways.getLast();
    boolean worthwhile =
        last != first
            && firstTokenMs(last, node, prefill)
                < firstTokenMs(first, node, prefill) * EncodePlanner.WORTHWHILE;
    return worthwhile ? last : first;
  }

  private List<EncodePlanner.Plan> plan(List<Integer> set) {
    List<EncodePlanner.Node> encoders = new ArrayList<>();
    for (int index : set) {
      Node node = nodes.get(index);
      if (node.encode() != null) {
        encoders.add(node.encoder(node.encode()));
      }
    }
    return EncodePlanner.plans(request.pictures(), encoders, rules.sharding() == Sharding.TILES)
        .stream()
        .map(plan ->
            new EncodePlanner.Plan(
                plan.shares().stream()
                    .map(share -> new Share(set.get(share.node()), share.picture(), share.tiles()))
                    .toList(),
                plan.readyMs()))
        .toList();
  }

  private static int tiles(EncodePlanner.Plan encodes) {
    return encodes.shares().stream().mapToInt(share -> share.tiles().length).sum();
  }

  /** Tiles that the prefill node has to pull. */
  private static int moved(EncodePlanner.Plan encodes, int prefill) {
    return encodes.shares().stream()
        .filter(share -> share.node() != prefill)
        .mapToInt(share -> share.tiles().length)
        .sum();
  }

  private double firstTokenMs(EncodePlanner.Plan encodes, int node, Prefill prefill) {
    double work = prefill.step().ms(uncached(node));
    double wait = nodes.get(node).waitMs();
    if (encodes.shares().isEmpty()) {
      return wait + work;
    }
    int tiles = tiles(encodes);
    int moved = moved(encodes, node);
    if (!rules.overlap() || moved < tiles) {
      double moves = moved == 0 ? 0 : prefill.pull().ms(moved * request.tileMib());
      return Math.max(encodes.doneMs() + moves, wait) + work;
    }
    // A tile is prefilled when it is here, and those before it are prefilled.
    double tileMs = work / tiles;
    double pullMs = prefill.pull().ms(request.tileMib());
    double done = wait;
    for (double ready : encodes.readyMs()) {
      done = Math.max(done, ready + pullMs) + tileMs;
    }
    return Math.max(done, prefill.pull().ms(moved * request.tileMib()) + tileMs);
  }

  /**
   * What it costs to have KV blocks early: what a step has computed can only be moved after it.
   * Where prefill follows tile by tile its steps are small by themselves.
   */
  private double moreStepsMs(int node, Prefill prefill) {
    return prefill.step().fixedMs() * ((uncached(node) - 1) / EARLY_STEP);
  }

  /** What it brings: what need not be moved any more when the first token is there. */
  private double savedMs(int prefill, Decode decode) {
    double mib = uncached(prefill) * request.tokenMib();
    return decode.pull().ms(mib) - decode.pull().ms(lastPart(mib));
  }

  private double lastPart(double mib) {
    return Math.min(mib, LAST_PART * request.tokenMib());
  }

  private double secondTokenMs(
      double firstTokenMs, int prefill, int node, Decode decode, boolean early) {
    double step = decode.step().ms(decode.answers() + 1);
    if (prefill == node) {
      return firstTokenMs + step;
    }
    double mib = uncached(node) * request.tokenMib();
    double arrived = firstTokenMs + decode.pull().ms(mib);
    if (early) {
      arrived =
          Math.max(
              firstTokenMs + decode.pull().ms(lastPart(mib)),
              nodes.get(prefill).waitMs() + decode.pull().ms(mib));
    }
    return Math.max(arrived, nodes.get(node).busyMs()) + step;
  }

  /** The last token is always computed. */
  private int uncached(int node) {
    return Math.max(1, request.tokens() - nodes.get(node).cachedTokens());
  }
}
