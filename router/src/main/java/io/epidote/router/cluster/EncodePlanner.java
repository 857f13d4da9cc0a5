package io.epidote.router.cluster;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntPredicate;
import java.util.function.LongPredicate;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Divides the tiles of a request over encode nodes by their measured costs, in one of two ways:
 *
 * <ul>
 *   <li>so that the last tile is ready as early as can be: the least time is searched in which the
 *       pictures, given in their order to whoever would have them first, are done. A picture is
 *       divided only where that is what it takes, because each node that has a part of it must
 *       decode it;
 *   <li>so that tiles are ready in the order of the prompt: each goes to the node that has it
 *       first, and all nodes work on one picture after the other. Then prefill can follow from the
 *       first tile on, where it would have to wait for the rest of every picture else.
 * </ul>
 *
 * <p>Tiles whose tokens a node has go there, unless its queue takes longer than making them again
 * elsewhere.
 */
final class EncodePlanner {
  /** To reach one more node, milliseconds. */
  private static final double HOP_MS = 0.5;

  private static final int SEARCH_STEPS = 40;

  /** Of the time, where the search for it ends. */
  private static final double EXACT = 1e-6;

  /** What dividing pictures must save of the time: it is paid with decoding them twice. */
  static final double WORTHWHILE = 0.95;

  /**
   * @param tags of its tiles
   */
  record Picture(long[] tags) {}

  /**
   * An encode node.
   *
   * @param queueMs until it has encoded what it was asked for before
   * @param tileMs of a tile, above 0
   * @param pictureMs from a file to its tiles
   * @param batchMs of a step, which cached tiles may have to wait for
   * @param has whether the tokens of the tile with this tag are there or under way
   */
  record Node(double queueMs, double tileMs, double pictureMs, double batchMs, LongPredicate has) {}

  /**
   * @param shares every tile once; at most one share for each pair of node and picture
   * @param readyMs until each tile is ready, in the order of the prompt
   */
  record Plan(List<Share> shares, double[] readyMs) {
    static final Plan NOTHING = new Plan(List.of(), new double[0]);

    /** Until the last tile is ready. */
    double doneMs() {
      return Arrays.stream(readyMs).max().orElse(0);
    }
  }

  /** Tiles of one picture, in rising order, for one node. */
  record Share(int node, int picture, int[] tiles) {}

  private final List<Picture> pictures;
  private final List<Node> nodes;

  /** Of each picture, what no node has. */
  private final List<int[]> missing = new ArrayList<>();

  // Of each node: the search asks for them some ten thousand times.
  private final double[] queueMs;
  private final double[] tileMs;
  private final double[] pictureMs;

  /** Of a fill that is tried. */
  private final Work trial;

  /** Nodes that have been asked for the picture at hand. */
  private final boolean[] tried;

  private EncodePlanner(List<Picture> pictures, List<Node> nodes) {
    this.pictures = pictures;
    this.nodes = nodes;
    this.queueMs = nodes.stream().mapToDouble(Node::queueMs).toArray();
    this.tileMs = nodes.stream().mapToDouble(Node::tileMs).toArray();
    this.pictureMs = nodes.stream().mapToDouble(Node::pictureMs).toArray();
    this.trial = new Work();
    this.tried = new boolean[nodes.size()];
  }

  /**
   * @param nodes at least one; the first of equals is preferred
   * @param mayDivide whether nodes may have parts of a picture
   * @return the plan that is done first, and where pictures may be divided the one in the prompt's
   *     order, if that is another
   */
  static List<Plan> plans(List<Picture> pictures, List<Node> nodes, boolean mayDivide) {
    return new EncodePlanner(pictures, nodes).plans(mayDivide && nodes.size() > 1);
  }

  private List<Plan> plans(boolean mayDivide) {
    List<Share> known = takeKnown();
    double whole = leastMs(true);
    double divided = mayDivide ? leastMs(false) : whole;
    boolean divide = divided < whole * WORTHWHILE;
    List<Share> made = new ArrayList<>();
    double leastMs = divide ? divided : whole;
    if (!fill(leastMs, !divide, made)) {
      throw new IllegalStateException("what can be done in %s ms cannot".formatted(leastMs));
    }
    Plan first = plan(known, made);
    return mayDivide ? List.of(first, plan(known, inOrder())) : List.of(first);
  }

  private Plan plan(List<Share> known, List<Share> made) {
    return new Plan(merged(known, made), readyMs(known, made));
  }

  private double[] readyMs(List<Share> known, List<Share> made) {
    double[][] ready = new double[pictures.size()][];
    Arrays.setAll(ready, picture -> new double[pictures.get(picture).tags().length]);
    for (Share share : known) {
      for (int tile : share.tiles()) {
        ready[share.picture()][tile] = givenMs(nodes.get(share.node()));
      }
    }
    Work work = new Work();
    for (Share share : made) {
      double begin = work.begin(share.node());
      work.add(share.node(), begin, share.tiles().length);
      for (int i = 0; i < share.tiles().length; i++) {
        ready[share.picture()][share.tiles()[i]] = begin + (i + 1) * tileMs[share.node()];
      }
    }
    return Arrays.stream(ready).flatMapToDouble(Arrays::stream).toArray();
  }

  /** Each tile to the node that has it first, one picture after the other. */
  private List<Share> inOrder() {
    Work work = new Work();
    List<Share> shares = new ArrayList<>();
    for (int picture = 0; picture < pictures.size(); picture++) {
      int[] tiles = missing.get(picture);
      int[] counts = new int[nodes.size()];
      int[] takers = new int[tiles.length];
      for (int i = 0; i < tiles.length; i++) {
        int node = work.first(other -> counts[other] > 0);
        takers[i] = node;
        if (counts[node]++ == 0) {
          work.add(node, work.begin(node), 1);
        } else {
          work.encoded[node] += tileMs[node];
        }
      }
      for (int node = 0; node < counts.length; node++) {
        if (counts[node] > 0) {
          int taker = node;
          shares.add(
              new Share(
                  node,
                  picture,
                  IntStream.range(0, tiles.length)
                      .filter(i -> takers[i] == taker)
                      .map(i -> tiles[i])
                      .toArray()));
        }
      }
    }
    return shares;
  }

  /** In which time everything can be done. */
  private double leastMs(boolean whole) {
    double least = 0;
    double most = 1;
    while (!fill(most, whole, null)) {
      least = most;
      most *= 2;
    }
    for (int step = 0; step < SEARCH_STEPS && most - least > EXACT * most; step++) {
      double middle = (least + most) / 2;
      if (fill(middle, whole, null)) {
        most = middle;
      } else {
        least = middle;
      }
    }
    return most;
  }

  private List<Share> takeKnown() {
    double elsewhere =
        nodes.stream()
            .mapToDouble(node -> node.queueMs() + node.pictureMs() + node.tileMs() + HOP_MS)
            .min()
            .orElseThrow();
    List<Share> known = new ArrayList<>();
    for (int picture = 0; picture < pictures.size(); picture++) {
      long[] tags = pictures.get(picture).tags();
      int[] holders = new int[tags.length];
      for (int tile = 0; tile < tags.length; tile++) {
        holders[tile] = holder(tags[tile], elsewhere);
      }
      for (int node = 0; node < nodes.size(); node++) {
        int[] held = places(holders, node);
        if (held.length > 0) {
          known.add(new Share(node, picture, held));
        }
      }
      missing.add(places(holders, -1));
    }
    return known;
  }

  /** Until a node gives what it has: after the step that it is at. */
  private static double givenMs(Node node) {
    return HOP_MS + Math.min(node.queueMs(), node.batchMs());
  }

  private static int[] places(int[] holders, int node) {
    return IntStream.range(0, holders.length).filter(tile -> holders[tile] == node).toArray();
  }

  /** The node that gives a tile without making it, or -1. */
  private int holder(long tag, double elsewhereMs) {
    int best = -1;
    double bestMs = elsewhereMs;
    for (int i = 0; i < nodes.size(); i++) {
      Node node = nodes.get(i);
      double wait = givenMs(node);
      if (wait < bestMs && node.has().test(tag)) {
        best = i;
        bestMs = wait;
      }
    }
    return best;
  }

  /**
   * Whether everything can be done by then.
   *
   * @param whole whether no picture is divided
   * @param shares is told what every node would do, unless it is null
   */
  private boolean fill(double doneMs, boolean whole, @Nullable List<Share> shares) {
    trial.reset();
    for (int picture = 0; picture < pictures.size(); picture++) {
      int[] tiles = missing.get(picture);
      Arrays.fill(tried, false);
      for (int from = 0; from < tiles.length; ) {
        int node = trial.first(tried);
        if (node < 0) {
          return false;
        }
        tried[node] = true;
        double begin = trial.begin(node);
        int count =
            (int) Math.min(tiles.length - from, Math.floor((doneMs - begin) / tileMs[node]));
        if (count > 0 && (!whole || count == tiles.length)) {
          trial.add(node, begin, count);
          if (shares != null) {
            shares.add(new Share(node, picture, Arrays.copyOfRange(tiles, from, from + count)));
          }
          from += count;
        }
      }
    }
    return true;
  }

  /** What each node has been given so far. */
  private final class Work {
    /** Until it has decoded the files that it was given. */
    private final double[] decoded = new double[nodes.size()];

    /** Until it has encoded the tiles that it was given. */
    private final double[] encoded = new double[nodes.size()];

    Work() {
      reset();
    }

    void reset() {
      Arrays.fill(decoded, HOP_MS);
      System.arraycopy(queueMs, 0, encoded, 0, encoded.length);
    }

    /** Files are decoded beside the encoder, which waits for the first tile of each. */
    double begin(int node) {
      return Math.max(encoded[node], decoded[node] + pictureMs[node]);
    }

    /** Gives a node tiles of another picture, which it begins at {@code beginMs}. */
    void add(int node, double beginMs, int tiles) {
      decoded[node] += pictureMs[node];
      encoded[node] = beginMs + tiles * tileMs[node];
    }

    /** The node that would have a tile of another picture first, but for those that were tried. */
    int first(boolean[] tried) {
      int best = -1;
      double bestMs = Double.MAX_VALUE;
      for (int node = 0; node < tried.length; node++) {
        double ms = begin(node) + tileMs[node];
        if (!tried[node] && ms < bestMs) {
          best = node;
          bestMs = ms;
        }
      }
      return best;
    }

    /**
     * The node that would have the next tile of a picture first.
     *
     * @param decodes whether a node has tiles of it, and its file, already
     */
    int first(IntPredicate decodes) {
      int best = 0;
      double bestMs = Double.MAX_VALUE;
      for (int node = 0; node < encoded.length; node++) {
        double ms = (decodes.test(node) ? encoded[node] : begin(node)) + tileMs[node];
        if (ms < bestMs) {
          best = node;
          bestMs = ms;
        }
      }
      return best;
    }
  }

  private static List<Share> merged(List<Share> known, List<Share> made) {
    List<Share> shares = new ArrayList<>(known);
    for (Share share : made) {
      int same =
          IntStream.range(0, known.size())
              .filter(i ->
                  known.get(i).node() == share.node() && known.get(i).picture() == share.picture())
              .findFirst()
              .orElse(-1);
      if (same < 0) {
        shares.add(share);
      } else {
        int[] tiles =
            IntStream.concat(Arrays.stream(known.get(same).tiles()), Arrays.stream(share.tiles()))
                .sorted()
                .toArray();
        shares.set(same, new Share(share.node(), share.picture(), tiles));
      }
    }
    return shares;
  }
}
