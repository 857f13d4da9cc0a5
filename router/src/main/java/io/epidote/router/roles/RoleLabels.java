package io.epidote.router.roles;

import io.epidote.node.discovery.ClusterView;
import io.epidote.proto.v1.Stage;
import io.epidote.router.cluster.Cluster;
import io.epidote.router.cluster.Member;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Has the cluster's surroundings show which stages each node has, while this router leads. It looks
 * at what nodes are rather than at switches, so that what another router switched, or did not come
 * to say, is shown, too.
 */
public final class RoleLabels implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(RoleLabels.class);
  private static final long PERIOD_MS = 500;

  private final Cluster cluster;
  private final ClusterView view;
  private final ScheduledThreadPoolExecutor timer =
      new ScheduledThreadPoolExecutor(
          1, Thread.ofPlatform().daemon().name("role-labels").factory());

  /** Of the timer's thread: what was shown of nodes that are here. */
  private final Map<String, Set<Stage>> shown = new HashMap<>();

  private boolean failing;

  public RoleLabels(Cluster cluster, ClusterView view) {
    this.cluster = cluster;
    this.view = view;
    timer.scheduleWithFixedDelay(this::look, PERIOD_MS, PERIOD_MS, TimeUnit.MILLISECONDS);
  }

  private void look() {
    if (!view.leads()) {
      // Whoever leads meanwhile may show something else.
      shown.clear();
      return;
    }
    List<Member> members = cluster.members();
    shown.keySet().retainAll(members.stream().map(Member::id).toList());
    for (Member member : members) {
      if (!member.stages().equals(shown.get(member.id()))) {
        try {
          view.showRole(member.id(), member.stages());
          shown.put(member.id(), member.stages());
          failing = false;
        } catch (RuntimeException e) {
          if (!failing) {
            log.warn("The role of {} cannot be shown: {}", member.id(), e.getMessage());
          }
          failing = true;
          return;
        }
      }
    }
  }

  @Override
  public void close() {
    timer.shutdownNow();
  }
}
