package io.epidote.node.discovery;

import io.epidote.proto.v1.Stage;
import java.util.Collection;
import java.util.Set;
import java.util.function.Consumer;

/**
 * What surrounds a cluster knows of it: options ({@link StaticView}), DNS ({@link DnsView}) or
 * Kubernetes. Nodes find routers by it, and routers learn of nodes that are to stop; several
 * routers agree by it which of them changes roles. None of it is needed for a request that runs: a
 * view that fails says again what it said last. Thread-safe.
 */
public interface ClusterView extends AutoCloseable {
  /**
   * Tells who is behind these services, as soon as it is known and after every change, all of them
   * each time. Calls come one after the other, from a thread of the view's or from the caller's.
   */
  void watch(Collection<String> services, Consumer<Set<Peer>> listener);

  /**
   * Whether this process is the one that changes roles by itself. True everywhere where nothing
   * decides it: two that do are wasteful, not wrong, because a node takes no switch that leans on
   * an older generation.
   */
  boolean leads();

  /**
   * Shows which stages a node has, where people and schedulers look. May block for seconds.
   *
   * @throws io.epidote.engine.error.EpidoteException.Unavailable when that cannot be done now
   */
  void showRole(String nodeId, Set<Stage> stages);

  /** Gives up what only one process can have, and tells nothing any more. */
  @Override
  void close();
}
