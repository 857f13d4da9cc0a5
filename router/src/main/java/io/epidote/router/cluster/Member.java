package io.epidote.router.cluster;

import static java.util.Objects.requireNonNull;

import io.epidote.node.discovery.Peer;
import io.epidote.node.grpc.GrpcTransport;
import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.Stage;
import io.grpc.ManagedChannel;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.jspecify.annotations.Nullable;

/**
 * A node that is registered. What it is does not change; what it does is told by its latest load
 * report and counted here. Thread-safe.
 */
public final class Member {
  private final NodeHello hello;
  private final Set<Stage> stages;
  private final @Nullable ManagedChannel channel;
  private final AtomicIntegerArray inFlight = new AtomicIntegerArray(Stage.values().length);
  private final PrefixHints prefixes;
  private final EncodeBacklog encodes = new EncodeBacklog();
  private final Backlog promptTokens = new Backlog();
  private final Backlog answers = new Backlog();
  private volatile NodeStatus status;

  /** Whether the surroundings of the cluster know this node at all. */
  private boolean listed;

  private volatile boolean leaving;

  /**
   * @param channel null for a node that is simulated
   */
  Member(NodeHello hello, @Nullable ManagedChannel channel) {
    this.hello = hello;
    this.channel = channel;
    this.status = hello.getStatus();
    this.prefixes = new PrefixHints(hello.getStatus().getKvBlocksTotal());
    encodes.report(NodeLoad.newBuilder().setStatus(status).build());
    EnumSet<Stage> set = EnumSet.noneOf(Stage.class);
    set.addAll(hello.getStatus().getStagesList());
    this.stages = Collections.unmodifiableSet(set);
  }

  public String id() {
    return hello.getStatus().getNodeId();
  }

  /** {@code host:port} of its stage services. */
  public String address() {
    return hello.getStatus().getAddress();
  }

  public Set<Stage> stages() {
    return stages;
  }

  /** For calls to its stages. The cluster owns it. */
  public ManagedChannel channel() {
    return requireNonNull(channel, "a simulated node cannot be called");
  }

  /** The latest load that it reported. */
  public NodeStatus status() {
    return status;
  }

  /** Whether it takes no new requests, because it stops or changes its stages. */
  public boolean isDraining() {
    return status.getDraining();
  }

  /** Whether it is to stop soon, or is gone, as the cluster's surroundings know. */
  public boolean isLeaving() {
    return leaving;
  }

  /**
   * Takes to heart what the cluster's surroundings know. One that was never there says nothing:
   * they may be late, and not know every node.
   *
   * @param peers everybody who is there now
   */
  synchronized void seen(Set<Peer> peers) {
    if (channel == null) {
      return; // Simulated, and nowhere.
    }
    String host = GrpcTransport.parse(address()).getHostString();
    List<Peer> same = peers.stream().filter(peer -> peer.host().equals(host)).toList();
    listed |= !same.isEmpty();
    leaving = listed && same.stream().allMatch(Peer::leaving);
  }

  /**
   * Whether it can run requests of an adapter.
   *
   * @param name empty for the model itself
   */
  boolean hasAdapter(String name) {
    return name.isEmpty()
        || status.getAdaptersList().stream().anyMatch(adapter -> adapter.getName().equals(name));
  }

  void report(NodeLoad load) {
    status = load.getStatus();
    encodes.report(load);
    promptTokens.report(status.getPrefill().getWaitingTokens());
    answers.report(status.getDecode().getAnswers());
  }

  /** What is known of its encode stage. */
  EncodeBacklog encodes() {
    return encodes;
  }

  /** Prompt tokens that it has to compute before new ones. */
  Backlog promptTokens() {
    return promptTokens;
  }

  /** Answers that it decodes, or will. */
  Backlog answers() {
    return answers;
  }

  /** What stands before a new request: this router's own calls, and what the node has queued. */
  public int load(Stage stage) {
    return inFlight.get(stage.getNumber()) + status.getQueued();
  }

  /** What it probably has in its prefix cache. */
  PrefixHints prefixes() {
    return prefixes;
  }

  /**
   * @param onWorked runs once
   */
  Seat seat(Stage stage, Runnable onWorked) {
    inFlight.incrementAndGet(stage.getNumber());
    return new Seat(this, stage, onWorked);
  }

  /** Ends the channel once the calls on it have ended; a node that is gone has ended them. */
  void leave() {
    channel().shutdown();
  }

  /** Ends every call to a node from which nothing is heard. */
  void giveUp() {
    channel().shutdownNow();
  }

  /** A request's place at one stage of a node, counted until it is released. */
  public static final class Seat {
    private final Member member;
    private final Stage stage;
    private final Runnable onWorked;
    private final AtomicBoolean worked = new AtomicBoolean();
    private final AtomicBoolean released = new AtomicBoolean();

    private Seat(Member member, Stage stage, Runnable onWorked) {
      this.member = member;
      this.stage = stage;
      this.onWorked = onWorked;
    }

    public Member member() {
      return member;
    }

    public Stage stage() {
      return stage;
    }

    /** What the node had to compute for the request is done, though the call may go on. */
    public void worked() {
      if (worked.compareAndSet(false, true)) {
        onWorked.run();
      }
    }

    /** Only the first call does anything. */
    public void release() {
      if (released.compareAndSet(false, true)) {
        member.inFlight.decrementAndGet(stage.getNumber());
        worked();
      }
    }

    /** For messages, for example {@code the decode node d1 (10.0.0.7:7003)}. */
    @Override
    public String toString() {
      return "the %s node %s (%s)".formatted(StageNames.of(stage), member.id(), member.address());
    }
  }
}
