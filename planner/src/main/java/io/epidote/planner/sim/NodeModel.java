package io.epidote.planner.sim;

import static java.util.Objects.requireNonNull;

import io.epidote.node.kv.AnswerLengths;
import io.epidote.node.kv.EarlyHolders;
import io.epidote.node.kv.KvBudget;
import io.epidote.node.transfer.EmulatedLink;
import io.epidote.node.transfer.TransferOptions.Pace;
import io.epidote.planner.sim.ClusterShape.Host;
import io.epidote.planner.sim.ClusterShape.Room;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.Stage;
import io.epidote.router.cluster.Member;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A node: its engine thread, which runs the commands that came, then a step of each stage that has
 * something to do, and again; its KV blocks; and the link into it.
 */
final class NodeModel {
  private final Events events;
  private final ClusterShape shape;
  private final ClusterShape.Node node;
  private final EmulatedLink link;
  private final ArrayDeque<Runnable> commands = new ArrayDeque<>();
  private final List<StageModel> stages = new ArrayList<>();
  private final KvModel kv;
  private final @Nullable DecodeModel decode;
  private final @Nullable PrefillModel prefill;
  private final @Nullable EncodeModel encode;
  private @Nullable Member member;
  private boolean awake;
  private boolean worked;

  /** Whose turn it is, or -1 when commands are next. */
  private int turn = -1;

  /** A node's KV blocks as its stages share them. */
  record KvModel(Blocks blocks, KvBudget budget, EarlyHolders early) {}

  NodeModel(Events events, ClusterShape shape, ClusterShape.Node node) {
    this.events = events;
    this.shape = shape;
    this.node = node;
    Room room = shape.sizes().apply(node.stages());
    Host host = shape.host();
    Pace pace = shape.device().pace().orElse(new Pace(host.bytesPerSecond(), 2 * host.hopNanos()));
    this.link = new EmulatedLink(pace, 0);
    Blocks blocks = new Blocks(Math.max(1, room.kv()), events::now);
    this.kv =
        new KvModel(
            blocks,
            new KvBudget(Math.max(1, room.kv()), room.swap(), new AnswerLengths()),
            new EarlyHolders(blocks.line()));
    boolean decodes = node.has(Stage.STAGE_DECODE);
    this.decode = decodes ? new DecodeModel(events, this, shape) : null;
    this.prefill =
        node.has(Stage.STAGE_PREFILL)
            ? new PrefillModel(events, this, shape, room.prefillTiles(), decodes)
            : null;
    this.encode =
        node.has(Stage.STAGE_ENCODE)
            ? new EncodeModel(events, this, shape, room.encodeTiles())
            : null;
    // Decode has the first turn of a round, as in a real node.
    if (decode != null) {
      stages.add(decode);
    }
    if (prefill != null) {
      stages.add(prefill);
    }
    if (encode != null) {
      stages.add(encode);
    }
  }

  void joined(Member as) {
    member = as;
  }

  Member member() {
    return requireNonNull(member, "the node has not joined");
  }

  KvModel kv() {
    return kv;
  }

  DecodeModel decode() {
    return requireNonNull(decode, "no decode stage here");
  }

  PrefillModel prefill() {
    return requireNonNull(prefill, "no prefill stage here");
  }

  EncodeModel encode() {
    return requireNonNull(encode, "no encode stage here");
  }

  /** Hands a command over, as messages of others and ends of pulls are. */
  void execute(Runnable command) {
    commands.add(command);
    if (!awake) {
      awake = true;
      work();
    }
  }

  private void work() {
    while (true) {
      if (turn < 0) {
        worked = !commands.isEmpty();
        for (int left = commands.size(); left > 0; left--) {
          commands.remove().run();
        }
        turn = 0;
      }
      while (turn < stages.size()) {
        long nanos = stages.get(turn).begin();
        if (nanos > StageModel.ARRANGED) {
          events.after(nanos, this::stepped);
          return;
        }
        worked |= nanos == StageModel.ARRANGED;
        turn++;
      }
      turn = -1;
      if (!worked && commands.isEmpty()) {
        awake = false;
        return;
      }
    }
  }

  private void stepped() {
    stages.get(turn).finish();
    worked = true;
    turn++;
    work();
  }

  /**
   * Pulls bytes from another node; what is to follow is a command of this one.
   *
   * @return nanoseconds that it takes
   */
  long pull(long bytes, Runnable arrived) {
    long now = events.now();
    // Asked for and sent over the host's own sockets, whatever the link.
    long moved = now + 2 * shape.host().hopNanos();
    long due = Math.max(moved, link.ask(bytes, now));
    events.at(due, () -> execute(arrived));
    return due - now;
  }

  boolean has(Stage stage) {
    return node.has(stage);
  }

  String id() {
    return node.id();
  }

  boolean isIdle() {
    return stages.stream().allMatch(StageModel::isIdle);
  }

  /** A load report, as it is at this moment. */
  NodeStatus status() {
    NodeStatus.Builder status =
        NodeStatus.newBuilder()
            .setNodeId(node.id())
            .addAllStages(node.stages())
            .setKvBlockBytes(prefill == null && decode == null ? 0 : shape.device().kvBlockBytes())
            .setMediaBlockBytes(prefill == null && encode == null ? 0 : shape.device().tileBytes())
            .setKvBlocksTotal(prefill == null && decode == null ? 0 : kv.blocks().total())
            .setQueued(stages.stream().mapToInt(StageModel::queued).sum());
    stages.forEach(stage -> stage.describe(status));
    return status.build();
  }

  /** Blocks that are held for requests: none when there are none. */
  int blocksUsed() {
    return kv.blocks().used()
        + (prefill == null ? 0 : prefill.mediaUsed())
        + (encode == null ? 0 : encode.mediaUsed());
  }
}
