package io.epidote.router.roles;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.stage.v1.NodeControlGrpc;
import io.epidote.proto.stage.v1.SwitchRoleRequest;
import io.epidote.proto.stage.v1.SwitchRoleResponse;
import io.epidote.proto.v1.RoleSwitch;
import io.epidote.proto.v1.Stage;
import io.epidote.router.cluster.Cluster;
import io.epidote.router.cluster.Member;
import io.epidote.router.cluster.StageNames;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Gives nodes other stages, and remembers what was done. Calls block until the node serves with its
 * new stages: for virtual threads. Thread-safe.
 */
public final class RoleSwitches {
  private static final Logger log = LoggerFactory.getLogger(RoleSwitches.class);
  private static final int REMEMBERED = 100;

  /** For loading and unloading, beside the drain. */
  private static final Duration MOST = Duration.ofMinutes(5);

  /** From a node's answer to its hello with the new stages. */
  private static final Duration JOIN = Duration.ofSeconds(20);

  private record Entry(RoleSwitch what, long endedNanos) {}

  private final Cluster cluster;
  private final Set<String> underWay = ConcurrentHashMap.newKeySet();
  private final Deque<Entry> history = new ArrayDeque<>();

  public RoleSwitches(Cluster cluster) {
    this.cluster = cluster;
  }

  /** Whether a node is on its way from one role to another. */
  boolean isUnderWay() {
    return !underWay.isEmpty();
  }

  /**
   * Switches a node.
   *
   * @param nodeId of a node that is registered
   * @param wanted the stages that it will have
   * @param drain how long its running requests may take to end by themselves
   * @param manual whether somebody asked for it
   * @return with its phases
   * @throws EpidoteException.NotFound when no such node is registered
   * @throws EpidoteException.InvalidRequest when a stage would be without a node, or there is
   *     nothing to change
   * @throws EpidoteException.Unavailable when the node could not; it then has the stages it had
   */
  RoleSwitch run(String nodeId, Collection<Stage> wanted, Duration drain, boolean manual) {
    Member member =
        cluster.members().stream()
            .filter(each -> each.id().equals(nodeId))
            .findFirst()
            .orElseThrow(() ->
                new EpidoteException.NotFound(
                    "No node \"%s\" is registered; the nodes are %s."
                        .formatted(
                            nodeId,
                            cluster.members().stream()
                                .map(Member::id)
                                .collect(Collectors.joining(", ")))));
    check(member, wanted);
    if (!underWay.add(nodeId)) {
      throw new EpidoteException.Unavailable(
          "Node %s is being switched already; wait until that is over.".formatted(nodeId));
    }
    RoleSwitch.Builder done =
        RoleSwitch.newBuilder()
            .setNodeId(nodeId)
            .addAllFrom(member.stages())
            .addAllTo(wanted)
            .setManual(manual);
    try {
      long start = System.nanoTime();
      SwitchRoleResponse response =
          NodeControlGrpc.newBlockingStub(member.channel())
              .withDeadlineAfter(MOST.plus(drain).toMillis(), TimeUnit.MILLISECONDS)
              .switchRole(
                  SwitchRoleRequest.newBuilder()
                      .addAllStages(wanted)
                      .setExpectedGeneration(member.status().getRoleGeneration())
                      .setDrainMs((int) drain.toMillis())
                      .build());
      awaitJoin(nodeId, response.getRoleGeneration());
      done.addAllPhases(response.getPhasesList());
      log.info(
          "Node {} is {} now, and was {}: {} ms, {}",
          nodeId,
          StageNames.of(wanted),
          StageNames.of(member.stages()),
          (System.nanoTime() - start) / 1_000_000,
          response.getPhasesList().stream()
              .map(phase -> String.format(Locale.ROOT, "%s %.0f", phase.getName(), phase.getMs()))
              .collect(Collectors.joining(", ")));
      return done.build();
    } catch (RuntimeException e) {
      EpidoteException error = GrpcErrors.fromStatus(e);
      done.setError(String.valueOf(error.getMessage()));
      log.warn(
          "Node {} could not become {}: {}", nodeId, StageNames.of(wanted), error.getMessage());
      throw error;
    } finally {
      underWay.remove(nodeId);
      remember(done.build());
    }
  }

  private void check(Member member, Collection<Stage> wanted) {
    if (wanted.isEmpty() || !StageNames.ALL.containsAll(wanted)) {
      throw new EpidoteException.InvalidRequest(
          "A node has some of encode, prefill, decode; give it at least one.");
    }
    if (member.stages().equals(EnumSet.copyOf(wanted))) {
      throw new EpidoteException.InvalidRequest(
          "Node %s has %s already.".formatted(member.id(), StageNames.of(wanted)));
    }
    for (Stage stage : member.stages()) {
      boolean kept =
          wanted.contains(stage)
              || cluster.members().stream()
                  .anyMatch(other ->
                      !other.id().equals(member.id())
                          && !other.isDraining()
                          && other.stages().contains(stage));
      if (!kept) {
        throw new EpidoteException.InvalidRequest(
            "Node %s is the only one that serves the %s stage; start another, or switch one to it, first."
                .formatted(member.id(), StageNames.of(stage)));
      }
    }
  }

  private void awaitJoin(String nodeId, long generation) {
    long deadline = System.nanoTime() + JOIN.toNanos();
    while (cluster.members().stream()
        .noneMatch(member ->
            member.id().equals(nodeId) && member.status().getRoleGeneration() >= generation)) {
      if (System.nanoTime() > deadline) {
        throw new EpidoteException.Unavailable(
            "Node %s has its new stages but did not register again within %d s."
                .formatted(nodeId, JOIN.toSeconds()));
      }
      try {
        Thread.sleep(5);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new EpidoteException.Unavailable("The router is shutting down.", e);
      }
    }
  }

  private void remember(RoleSwitch done) {
    synchronized (history) {
      history.addLast(new Entry(done, System.nanoTime()));
      if (history.size() > REMEMBERED) {
        history.removeFirst();
      }
    }
  }

  /** The latest last. */
  List<RoleSwitch> history() {
    long now = System.nanoTime();
    synchronized (history) {
      return history.stream()
          .map(entry -> entry.what().toBuilder().setAgeMs((now - entry.endedNanos()) / 1e6).build())
          .toList();
    }
  }
}
