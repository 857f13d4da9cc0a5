package io.epidote.planner.sim;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.emulated.EmulatedModels;
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
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A node: its engine thread, which runs the commands that came, then a step of each stage that has
 * something to do, and again; its KV blocks; and the link into it.
 */
final class NodeModel {
  private final Events events;
  private final ClusterShape shape;
  private ClusterShape.Node node;
  private final EmulatedLink link;
  private final ArrayDeque<Runnable> commands = new ArrayDeque<>();
  private final List<StageModel> stages = new ArrayList<>();
  private @Nullable KvModel kv;
  private @Nullable DecodeModel decode;
  private @Nullable PrefillModel prefill;
  private @Nullable EncodeModel encode;
  private @Nullable Member member;
  private boolean awake;
  private boolean worked;

  /** Whether a step of encode runs in the midst of one of decode. */
  private boolean urgent;

  /** By what the step that runs was interrupted, and by how much it may be. */
  private long interruptedNanos;

  private long mostInterruptedNanos;

  /** Of that, what it has not waited for yet. */
  private long waitNanos;

  /** Whose turn it is, or -1 when commands are next. */
  private int turn = -1;

  /** A node's KV blocks as its stages share them. */
  record KvModel(Blocks blocks, KvBudget budget, EarlyHolders early) {}

  NodeModel(Events events, ClusterShape shape, ClusterShape.Node node) {
    this.events = events;
    this.shape = shape;
    this.node = node;
    Host host = shape.host();
    Pace pace = shape.device().pace().orElse(new Pace(host.bytesPerSecond(), 2 * host.hopNanos()));
    this.link = new EmulatedLink(pace, 0);
    add(node);
  }

  /**
   * Stages come to those that are here; a command. As in a real node they share nothing: encode
   * comes to others, or they to it.
   */
  void add(ClusterShape.Node next) {
    node = next;
    Room room = shape.sizes().apply(node.stages());
    if (decode == null && prefill == null) {
      Blocks blocks = new Blocks(Math.max(1, room.kv()), events::now);
      kv =
          new KvModel(
              blocks,
              new KvBudget(Math.max(1, room.kv()), room.swap(), new AnswerLengths()),
              new EarlyHolders(blocks.line()));
      boolean decodes = node.has(Stage.STAGE_DECODE);
      decode = decodes ? new DecodeModel(events, this, shape) : null;
      prefill =
          node.has(Stage.STAGE_PREFILL)
              ? new PrefillModel(events, this, shape, room.prefillTiles(), decodes)
              : null;
    }
    if (encode == null && node.has(Stage.STAGE_ENCODE)) {
      encode = new EncodeModel(events, this, shape, room.encodeTiles());
    }
    // Decode has the first turn of a round, as in a real node.
    stages.clear();
    Stream.of(decode, prefill, encode).filter(stage -> stage != null).forEach(stages::add);
  }

  void joined(Member as) {
    member = as;
  }

  Member member() {
    return requireNonNull(member, "the node has not joined");
  }

  KvModel kv() {
    return requireNonNull(kv);
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
          interruptedNanos = 0;
          mostInterruptedNanos = EmulatedModels.MOST_STRETCHED * nanos;
          events.after(nanos, this::stepped);
          runUrgent();
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

  /**
   * Hands over a command of the encode stage, which does not wait for a step of decode where no
   * prompt is prefilled. As in a real node.
   */
  void executeUrgent(Runnable command) {
    if (isInterruptible()) {
      command.run();
      runUrgent();
    } else {
      execute(command);
    }
  }

  private boolean isInterruptible() {
    return prefill == null
        && encode != null
        && awake
        && turn >= 0
        && turn < stages.size()
        && stages.get(turn) == decode;
  }

  private void runUrgent() {
    if (!urgent && isInterruptible() && interruptedNanos < mostInterruptedNanos) {
      long nanos = encode().begin();
      if (nanos > StageModel.ARRANGED) {
        urgent = true;
        interruptedNanos += nanos;
        waitNanos += nanos;
        events.after(
            nanos,
            () -> {
              encode().finish();
              urgent = false;
              runUrgent();
            });
      }
    }
  }

  private void stepped() {
    if (waitNanos > 0) {
      long more = waitNanos;
      waitNanos = 0;
      events.after(more, this::stepped);
      return;
    }
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
            .setKvBlocksTotal(prefill == null && decode == null ? 0 : kv().blocks().total())
            .setQueued(stages.stream().mapToInt(StageModel::queued).sum());
    stages.forEach(stage -> stage.describe(status));
    return status.build();
  }

  /** Blocks that are held for requests: none when there are none. */
  int blocksUsed() {
    return kv().blocks().used()
        + (prefill == null ? 0 : prefill.mediaUsed())
        + (encode == null ? 0 : encode.mediaUsed());
  }
}
