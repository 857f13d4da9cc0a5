package io.epidote.router.cluster;

import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.v1.NodeStatus;
import java.util.List;

/**
 * A router's knowledge of nodes that do not exist, and its placement of requests on them: for
 * simulators. What they report and what is counted between reports is as in a real one.
 */
public final class VirtualCluster {
  private final Cluster cluster;

  public VirtualCluster(PlacementRules rules) {
    this.cluster = new Cluster(rules);
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
