package io.epidote.planner.sim;

import io.epidote.proto.v1.NodeStatus;

/** One stage of a simulated node, which works in steps as a real one does. */
interface StageModel {
  /** There was nothing to do. */
  long IDLE = -1;

  /** Something was arranged, and no step begun. */
  long ARRANGED = 0;

  /**
   * Begins a step.
   *
   * @return the nanoseconds that it takes, {@link #IDLE} or {@link #ARRANGED}
   */
  long begin();

  /** The step that was begun is over. */
  void finish();

  /** Adds to a load report. */
  void describe(NodeStatus.Builder status);

  /** Whether no request has anything to do with it. */
  boolean isIdle();

  /** Requests that wait for something of this node. */
  int queued();
}
