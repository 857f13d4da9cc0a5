package io.epidote.router.cluster;

import io.epidote.router.cluster.EncodePlanner.Picture;
import io.epidote.router.cluster.TopologyPlanner.Node;
import io.epidote.router.cluster.TopologyPlanner.Request;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntPredicate;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/**
 * The nodes among which {@link TopologyPlanner} searches: of each stage those on which a request
 * would have its turn first, and those that have some of it in a cache. In a cluster that is not
 * large these are all nodes. Indices are in rising order.
 */
@SuppressWarnings("ArrayRecordComponent") // nobody changes them
record Candidates(int[] encode, int[] prefill, int[] decode) {
  /** Nodes of a stage by their turns, and as many again by what they have in a cache. */
  static final int MOST = 16;

  /** Tiles are divided over many nodes, but what another one brings becomes small. */
  static final int MOST_ENCODERS = 32;

  static Candidates all(List<Node> nodes) {
    int[] each = IntStream.range(0, nodes.size()).toArray();
    return new Candidates(each, each, each);
  }

  static Candidates best(Request request, List<Node> nodes) {
    if (nodes.size() <= MOST) {
      return all(nodes);
    }
    int[] prefill =
        of(
            nodes,
            MOST,
            node -> node.prefill() == null ? Double.NaN : node.firstTurnMs(request.tokens()),
            index -> nodes.get(index).cachedTokens() > 0,
            node -> -node.cachedTokens());
    int[] decode =
        of(
            nodes,
            MOST,
            node -> node.decode() == null ? Double.NaN : node.nextTokenMs(),
            // Where the prompt is, nothing has to be moved.
            index -> nodes.get(index).cachedTokens() > 0 || contains(prefill, index),
            node -> -node.cachedTokens());
    int[] encode =
        of(
            nodes,
            MOST_ENCODERS,
            node -> node.encode() == null ? Double.NaN : node.tileTurnMs(),
            index -> hasSome(nodes.get(index), request),
            Node::tileTurnMs);
    return new Candidates(encode, prefill, decode);
  }

  private static boolean contains(int[] sorted, int index) {
    return Arrays.binarySearch(sorted, index) >= 0;
  }

  /** Whether it has the beginning of a picture: who has one tile of it mostly has others. */
  private static boolean hasSome(Node node, Request request) {
    EncodePlanner.Node encoder = node.encode();
    if (encoder == null) {
      return false;
    }
    for (Picture picture : request.pictures()) {
      if (picture.tags().length > 0 && encoder.has().test(picture.tags()[0])) {
        return true;
      }
    }
    return false;
  }

  /**
   * @param turn not a number for nodes that do not have the stage
   * @param special whether a node is of interest whatever its turn
   * @param rank of those, least first
   */
  private static int[] of(
      List<Node> nodes,
      int most,
      ToDoubleFunction<Node> turn,
      IntPredicate special,
      ToDoubleFunction<Node> rank) {
    double[] turns = nodes.stream().mapToDouble(turn).toArray();
    if (Arrays.stream(turns).filter(ms -> !Double.isNaN(ms)).count() <= most) {
      return IntStream.range(0, turns.length).filter(i -> !Double.isNaN(turns[i])).toArray();
    }
    double[] ranks = new double[turns.length];
    Arrays.fill(ranks, Double.NaN);
    for (int i = 0; i < turns.length; i++) {
      if (!Double.isNaN(turns[i]) && special.test(i)) {
        ranks[i] = rank.applyAsDouble(nodes.get(i));
      }
    }
    return IntStream.concat(least(turns, most), least(ranks, most)).sorted().distinct().toArray();
  }

  /** Indices of the least numbers, the first of equals; those that are not numbers are none. */
  private static IntStream least(double[] numbers, int most) {
    int[] best = new int[most];
    int count = 0;
    for (int i = 0; i < numbers.length; i++) {
      if (Double.isNaN(numbers[i]) || (count == most && numbers[i] >= numbers[best[most - 1]])) {
        continue;
      }
      int at = count < most ? count++ : most - 1;
      while (at > 0 && numbers[i] < numbers[best[at - 1]]) {
        best[at] = best[at - 1];
        at--;
      }
      best[at] = i;
    }
    return Arrays.stream(best, 0, count);
  }
}
