package io.epidote.node;

import io.epidote.node.engine.EngineLoop;
import io.epidote.proto.v1.NodeStatus;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Whether a node takes requests, what is wrong with it, and how often it changed its role. Known
 * without the engine thread. Thread-safe.
 */
final class NodeState {
  private final EngineLoop loop;
  private final AtomicLong integrityChecks = new AtomicLong();
  private volatile boolean draining;
  private volatile @Nullable String stuck;
  private volatile @Nullable String discrepancy;
  private volatile @Nullable String lost;
  private volatile long generation;

  NodeState(EngineLoop loop) {
    this.loop = loop;
  }

  boolean isDraining() {
    return draining || stuck != null || lost != null || loop.fault() != null;
  }

  void draining(boolean now) {
    draining = now;
  }

  /** What keeps the engine thread from its work, or null. */
  @Nullable String stuck() {
    return stuck;
  }

  void stuck(@Nullable String why) {
    stuck = why;
  }

  boolean isDiscrepant() {
    return discrepancy != null;
  }

  /**
   * The accounts were looked at.
   *
   * @param found what is wrong with them, or null
   * @return whether that is news
   */
  boolean checked(@Nullable String found) {
    boolean news = found != null && !found.equals(discrepancy);
    discrepancy = found;
    if (found == null) {
      integrityChecks.incrementAndGet();
    }
    return news;
  }

  long integrityChecks() {
    return integrityChecks.get();
  }

  /** The node has no role and can have none. */
  void lost(@Nullable String why) {
    lost = why;
  }

  long generation() {
    return generation;
  }

  void nextGeneration() {
    generation++;
  }

  /** What makes the node unhealthy, or null. */
  @Nullable String fault() {
    String failed = loop.fault();
    if (failed != null) {
      return failed;
    }
    String role = lost;
    if (role != null) {
      return role;
    }
    String waiting = stuck;
    return waiting != null ? waiting : discrepancy;
  }

  /** The same as a status says it. */
  NodeStatus describe(NodeStatus status) {
    String fault = fault();
    return status.toBuilder()
        .setDraining(isDraining())
        .setFault(fault == null ? "" : fault)
        .setIntegrityChecks(integrityChecks())
        .setRoleGeneration(generation)
        .build();
  }
}
