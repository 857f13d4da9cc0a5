package io.epidote.cli.chaos;

import java.time.Duration;
import java.util.Map;

/** A cluster to which faults are done. Safe for use by many threads. */
public interface FaultTarget {
  /** Whether the node's process runs and serves. */
  boolean isUp(String node);

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

  /** Of each member that runs, its process. */
  Map<String, Long> processes();

  /** What can be done to its connections. */
  Network network();
}
