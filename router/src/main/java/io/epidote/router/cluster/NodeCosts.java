package io.epidote.router.cluster;

import io.epidote.engine.model.DecoderShape;
import io.epidote.proto.v1.Cost;
import io.epidote.proto.v1.DecodeLoad;
import io.epidote.proto.v1.EncodeLoad;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.PrefillLoad;
import io.epidote.proto.v1.Stage;
import java.util.List;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/**
 * What the nodes of a moment have measured and have to do, as {@link TopologyPlanner} takes it. A
 * node that has not measured something yet is taken for one like the others; where none has, for
 * some machine.
 */
final class NodeCosts {
  private static final double MIB = 1 << 20;
  private static final double SOME_TILE_MS = 1;

  /** Dividing pictures is not free where nobody has measured it. */
  private static final double SOME_PICTURE_MS = 2;

  private static final TopologyPlanner.Cost SOME_PREFILL = new TopologyPlanner.Cost(0, 0.1);
  private static final TopologyPlanner.Cost SOME_DECODE = new TopologyPlanner.Cost(1, 0.1);
  private static final TopologyPlanner.Cost SOME_PULL = new TopologyPlanner.Cost(0.5, 1);

  private final List<Member> members;
  private final PromptPrefix prompt;
  private final String adapter;

  // What is usual is looked for only where a node has not measured it.
  private final Usual<Double> tileMs =
      new Usual<>(() -> usual(EncodeLoad::getTileMs, SOME_TILE_MS));
  private final Usual<Double> pictureMs =
      new Usual<>(() -> usual(EncodeLoad::getPictureMs, SOME_PICTURE_MS));
  private final Usual<TopologyPlanner.Cost> prefill =
      new Usual<>(() -> usual(status -> status.getPrefill().getStep(), SOME_PREFILL));
  private final Usual<TopologyPlanner.Cost> mediaPull =
      new Usual<>(() -> usual(status -> status.getPrefill().getPull(), SOME_PULL));
  private final Usual<TopologyPlanner.Cost> decode =
      new Usual<>(() -> usual(status -> status.getDecode().getStep(), SOME_DECODE));
  private final Usual<TopologyPlanner.Cost> kvPull =
      new Usual<>(() -> usual(status -> status.getDecode().getPull(), SOME_PULL));

  /** Is found when it is first needed. */
  private static final class Usual<T> {
    private final Supplier<T> find;
    private @Nullable T found;

    Usual(Supplier<T> find) {
      this.find = find;
    }

    T get() {
      T known = found;
      if (known == null) {
        known = find.get();
        found = known;
      }
      return known;
    }
  }

  private NodeCosts(List<Member> members, PromptPrefix prompt, String adapter) {
    this.members = members;
    this.prompt = prompt;
    this.adapter = adapter;
  }

  /**
   * In the order of the members.
   *
   * @param adapter that prefill and decode need; empty for none
   */
  static List<TopologyPlanner.Node> of(List<Member> members, PromptPrefix prompt, String adapter) {
    NodeCosts costs = new NodeCosts(members, prompt, adapter);
    return members.stream().map(costs::node).toList();
  }

  /** Bytes that one tile's media tokens take, in MiB. */
  static double tileMib(List<Member> members) {
    return most(members, NodeStatus::getMediaBlockBytes) / MIB;
  }

  /** Bytes that the keys and values of one token take, in MiB. */
  static double tokenMib(List<Member> members) {
    return most(members, NodeStatus::getKvBlockBytes) / DecoderShape.BLOCK_TOKENS / MIB;
  }

  private static double most(List<Member> members, ToDoubleFunction<NodeStatus> bytes) {
    return members.stream().map(Member::status).mapToDouble(bytes).max().orElse(0);
  }

  private TopologyPlanner.Node node(Member member) {
    return new TopologyPlanner.Node(
        encode(member),
        prefill(member),
        decode(member),
        member.prefixes().match(prompt) * DecoderShape.BLOCK_TOKENS);
  }

  private EncodePlanner.@Nullable Node encode(Member member) {
    if (!member.stages().contains(Stage.STAGE_ENCODE)) {
      return null;
    }
    EncodeBacklog encodes = member.encodes();
    EncodeLoad load = encodes.latest();
    double tile = load.getTileMs() > 0 ? load.getTileMs() : tileMs.get();
    return new EncodePlanner.Node(
        encodes.waitingTiles() * tile,
        tile,
        load.getPictureMs() > 0 ? load.getPictureMs() : pictureMs.get(),
        Math.max(1, load.getBatch()) * tile,
        encodes::has);
  }

  private TopologyPlanner.@Nullable Prefill prefill(Member member) {
    if (!member.stages().contains(Stage.STAGE_PREFILL) || !member.hasAdapter(adapter)) {
      return null;
    }
    PrefillLoad load = member.status().getPrefill();
    return new TopologyPlanner.Prefill(
        measured(load.getStep(), prefill),
        measured(load.getPull(), mediaPull),
        member.promptTokens().waiting(),
        member.load(Stage.STAGE_PREFILL));
  }

  private TopologyPlanner.@Nullable Decode decode(Member member) {
    if (!member.stages().contains(Stage.STAGE_DECODE) || !member.hasAdapter(adapter)) {
      return null;
    }
    DecodeLoad load = member.status().getDecode();
    return new TopologyPlanner.Decode(
        measured(load.getStep(), decode),
        measured(load.getPull(), kvPull),
        member.answers().waiting(),
        member.load(Stage.STAGE_DECODE));
  }

  private static TopologyPlanner.Cost measured(Cost cost, Usual<TopologyPlanner.Cost> otherwise) {
    return isMeasured(cost)
        ? new TopologyPlanner.Cost(cost.getFixedMs(), cost.getUnitMs())
        : otherwise.get();
  }

  private static boolean isMeasured(Cost cost) {
    return cost.getFixedMs() + cost.getUnitMs() > 0;
  }

  private TopologyPlanner.Cost usual(
      Function<NodeStatus, Cost> cost, TopologyPlanner.Cost otherwise) {
    List<Cost> measured =
        members.stream().map(Member::status).map(cost).filter(NodeCosts::isMeasured).toList();
    return new TopologyPlanner.Cost(
        measured.stream().mapToDouble(Cost::getFixedMs).average().orElse(otherwise.fixedMs()),
        measured.stream().mapToDouble(Cost::getUnitMs).average().orElse(otherwise.unitMs()));
  }

  private double usual(ToDoubleFunction<EncodeLoad> cost, double otherwise) {
    return members.stream()
        .map(member -> member.encodes().latest())
        .mapToDouble(cost)
        .filter(ms -> ms > 0)
        .average()
        .orElse(otherwise);
  }
}
