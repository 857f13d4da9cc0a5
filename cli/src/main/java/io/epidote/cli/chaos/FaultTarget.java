package io.epidote.cli.chaos;

import java.time.Duration;
import java.util.Map;

/** A cluster to which faults are done. Safe for use by many threads. */
public interface FaultTarget {
  /** Whether the node's process runs and serves. */
  boolean isUp(String node);

  /** Of a process that has ended; 137: it was killed. */
  int exitStatus(String node);

  /** SIGKILL; returns when the process is gone. */
  void kill(String node) throws InterruptedException;

  /** SIGTERM; returns when the process is gone, which it must be within the time. */
  void terminate(String node, Duration within) throws InterruptedException;

  /** Starts a node that is gone again; returns when it serves. */
  void start(String node);

  /** SIGSTOP. */
  void pause(String node) throws InterruptedException;

  /** SIGCONT. */
  void resume(String node) throws InterruptedException;

  /**
   * Asks the node for a role that it does not have, for which it has to make room on its disk, and
   * for its own again when it got that.
   *
   * @return what came of it, in words
   */
  String tryOtherRole(String node);

  /** What it has of its machine. */
  NodeMachine machine(String node);

  /** Of each member that runs, its process. */
  Map<String, Long> processes();

  /** What can be done to its connections. */
  Network network();
}
