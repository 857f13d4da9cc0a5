package io.epidote.router.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.router.cluster.EncodePlanner.Node;
import io.epidote.router.cluster.EncodePlanner.Picture;
import io.epidote.router.cluster.EncodePlanner.Share;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

class EncodePlannerTest {
  private static final double TILE_MS = 10;
  private static final double PICTURE_MS = 4;

  private static Node idle() {
    return busy(0);
  }

  private static Node busy(double queueMs) {
    return new Node(queueMs, TILE_MS, PICTURE_MS, TILE_MS, tag -> false);
  }

  private static Node holding(double queueMs, Long... tags) {
    Set<Long> held = Set.of(tags);
    return new Node(queueMs, TILE_MS, PICTURE_MS, TILE_MS, held::contains);
  }

  private static List<Picture> pictures(int count, int tiles) {
    return IntStream.range(0, count)
        .mapToObj(picture ->
            new Picture(IntStream.range(0, tiles).mapToLong(t -> picture * 100L + t).toArray()))
        .toList();
  }

  private static List<Share> plan(List<Picture> pictures, List<Node> nodes) {
    return EncodePlanner.plans(pictures, nodes, true).getFirst().shares();
  }

  private static int tiles(List<Share> shares, int node) {
    return shares.stream()
        .filter(share -> share.node() == node)
        .mapToInt(share -> share.tiles().length)
        .sum();
  }

  @Test
  void picturesThatDivideEvenlyStayWholeAndAlternate() {
    List<Share> shares = plan(pictures(8, 5), List.of(idle(), idle()));
    assertThat(shares).hasSize(8).allSatisfy(share -> assertThat(share.tiles()).hasSize(5));
    assertThat(shares.stream().filter(share -> share.node() == 0).map(Share::picture))
        .containsExactly(0, 2, 4, 6);
  }

  @Test
  void picturesAreDividedWhereNodesWouldBeIdle() {
    List<Node> four = List.of(idle(), idle(), idle(), idle());
    List<Share> shares = plan(pictures(2, 17), four);
    for (int node = 0; node < 4; node++) {
      assertThat(tiles(shares, node)).isBetween(8, 9);
    }
    // Six over four: half a picture for some, and none has to wait for a third of another's.
    shares = plan(pictures(6, 17), four);
    for (int node = 0; node < 4; node++) {
      assertThat(tiles(shares, node)).isBetween(24, 27);
    }
    assertThat(shares).hasSizeLessThanOrEqualTo(10);
  }

  @Test
  void aSmallPictureIsNotDividedForNothing() {
    Node slowToDecode = new Node(0, 1, 50, 1, tag -> false);
    assertThat(plan(pictures(1, 4), List.of(slowToDecode, slowToDecode))).hasSize(1);
  }

  @Test
  void theBusyAndTheSlowGetLess() {
    assertThat(tiles(plan(pictures(1, 10), List.of(busy(1000), idle())), 0)).isZero();
    Node slow = new Node(0, 30, PICTURE_MS, 30, tag -> false);
    List<Share> shares = plan(pictures(4, 10), List.of(slow, idle()));
    assertThat(tiles(shares, 0)).isBetween(8, 11);
  }

  @Test
  void tilesGoToWhoeverHasThemUnlessItsQueueIsLonger() {
    List<Picture> one = pictures(1, 3);
    List<Share> shares = plan(one, List.of(idle(), holding(500, 0L, 1L, 2L)));
    assertThat(shares).hasSize(1);
    assertThat(shares.getFirst().node()).isEqualTo(1);

    Node longSteps = new Node(500, TILE_MS, PICTURE_MS, 500, tag -> true);
    assertThat(plan(one, List.of(idle(), longSteps)).getFirst().node()).isZero();

    // Each has a part; what nobody has goes to one of them, with what it has of the picture.
    shares = plan(one, List.of(holding(0, 0L), holding(0, 2L)));
    assertThat(shares).hasSize(2);
    assertThat(tiles(shares, 0) + tiles(shares, 1)).isEqualTo(3);
  }

  @Test
  void inThePromptsOrderAllNodesWorkOnOnePictureAfterTheOther() {
    List<EncodePlanner.Plan> plans =
        EncodePlanner.plans(pictures(2, 6), List.of(idle(), idle()), true);
    EncodePlanner.Plan inOrder = plans.getLast();
    assertThat(inOrder.shares()).hasSize(4);
    assertThat(inOrder.readyMs()).hasSize(12).isSorted();
    assertThat(plans.getFirst().shares()).hasSize(2);
    // Its second picture is begun with the first.
    assertThat(plans.getFirst().readyMs()[6]).isLessThan(inOrder.readyMs()[6]);
    assertThat(inOrder.readyMs()[5]).isLessThan(plans.getFirst().readyMs()[5]);
  }

  @Test
  void whatIsNotToBeDividedIsNot() {
    List<Node> two = List.of(busy(5), idle());
    List<EncodePlanner.Plan> whole = EncodePlanner.plans(pictures(3, 6), two, false);
    assertThat(whole).hasSize(1);
    assertThat(whole.getFirst().shares()).hasSize(3);
  }

  @Property(tries = 300)
  void everyTileIsAskedForOnceAndNoNodeIsLate(
      @ForAll @Size(min = 1, max = 8) List<@IntRange(min = 1, max = 20) Integer> tiles,
      @ForAll @Size(min = 1, max = 4) List<@IntRange(min = 0, max = 300) Integer> queues,
      @ForAll @IntRange(min = 0, max = 30) int known) {
    List<Picture> pictures = new ArrayList<>();
    for (int picture = 0; picture < tiles.size(); picture++) {
      long first = picture * 100L;
      pictures.add(
          new Picture(IntStream.range(0, tiles.get(picture)).mapToLong(t -> first + t).toArray()));
    }
    List<Node> nodes = new ArrayList<>();
    for (int node = 0; node < queues.size(); node++) {
      int which = node;
      nodes.add(
          new Node(
              queues.get(node),
              TILE_MS,
              PICTURE_MS,
              TILE_MS,
              tag -> known > 0 && tag % (known + 1) == which));
    }
    int all = tiles.stream().mapToInt(Integer::intValue).sum();
    for (boolean mayDivide : new boolean[] {true, false}) {
      for (EncodePlanner.Plan plan : EncodePlanner.plans(pictures, nodes, mayDivide)) {
        assertThat(plan.readyMs()).hasSize(all);
        checkComplete(plan.shares(), all);
      }
    }
    if (known == 0) {
      List<Share> shares = plan(pictures, nodes);
      double last =
          IntStream.range(0, nodes.size())
              .filter(node -> tiles(shares, node) > 0)
              .mapToDouble(node -> queues.get(node) + tiles(shares, node) * TILE_MS)
              .max()
              .orElseThrow();
      assertThat(last).isLessThan(best(all, queues) + TILE_MS + tiles.size() * PICTURE_MS + 2);
    }
  }

  private static void checkComplete(List<Share> shares, int all) {
    Set<List<Integer>> seen = new HashSet<>();
    Set<List<Integer>> pairs = new HashSet<>();
    for (Share share : shares) {
      assertThat(pairs.add(List.of(share.node(), share.picture()))).isTrue();
      assertThat(share.tiles()).isNotEmpty().isSorted();
      for (int tile : share.tiles()) {
        assertThat(seen.add(List.of(share.picture(), tile))).isTrue();
      }
    }
    assertThat(seen).hasSize(all);
  }

  /** If tiles could be cut and files were decoded for nothing. */
  private static double best(int tiles, List<Integer> queues) {
    int[] sorted = queues.stream().mapToInt(Integer::intValue).sorted().toArray();
    double best = Double.MAX_VALUE;
    for (int used = 1; used <= sorted.length; used++) {
      int queued = Arrays.stream(sorted, 0, used).sum();
      best = Math.min(best, Math.max(sorted[used - 1], (queued + tiles * TILE_MS) / used));
    }
    return best;
  }
}
