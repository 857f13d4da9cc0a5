package io.epidote.router.cluster;

import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.v1.NodeStatus;
import java.util.List;
import java.util.function.LongSupplier;

/**
 * A router's knowledge of nodes that do not exist, and its placement of requests on them: for
 * simulators. What they report and what is counted between reports is as in a real one.
 */
public final class VirtualCluster {
  private final Cluster cluster;

  /**
   * @param clock in nanoseconds of virtual time
   */
  public VirtualCluster(PlacementRules rules, LongSupplier clock) {
    this.cluster = new Cluster(rules, clock);
  }

  /** The nodes by id. */
  public List<Member> members() {
    return cluster.members();
  }

  /** As {@link Cluster#demand} is. */
  public Demand demand() {
    return cluster.demand();
  }

  /** As {@link Cluster#work} has it. */
  public StageWork work(Demand.Rates rates) {
    return cluster.work(rates);
  }

  /** A node leaves: nothing is placed on it any more. */
  public void leave(Member member) {
    cluster.remove(member);
  }

  /**
   * A node joins.
   *
   * @param status its first report, with id, stages and sizes of blocks
   */
  public Member join(NodeStatus status) {
    Member member = new Member(NodeHello.newBuilder().setStatus(status).build(), null);
    cluster.add(member);
    return member;
  }

  /** A node's load report came. */
  public void report(Member member, NodeStatus status) {
    member.report(NodeLoad.newBuilder().setStatus(status).build());
  }

  /** As {@link Cluster#place} does. */
  public Placement place(List<MediaItem> items, int promptTokens) {
    return cluster.place(items, promptTokens, PromptPrefix.UNKNOWN, "");
  }
}
