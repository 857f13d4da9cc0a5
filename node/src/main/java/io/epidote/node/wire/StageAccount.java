package io.epidote.node.wire;

import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;

/** Where the time of one request in one stage went. Monotonic nanoseconds; one thread. */
public final class StageAccount {
  private final Stage stage;
  private final String nodeId;
  private final String precision;
  private long waitingSince;
  private boolean waiting;
  private long queueNanos;
  private long computeNanos;
  private long transferNanos;
  private long bytesMoved;
  private int units;
  private int cached;

  /**
   * @param precision of the weights that the stage computes with, or {@code emulated}
   */
  public StageAccount(Stage stage, String nodeId, String precision) {
    this.stage = stage;
    this.nodeId = nodeId;
    this.precision = precision;
  }

  /** From now on the request waits for a resource or its turn. */
  public void startWaiting() {
    if (!waiting) {
      waiting = true;
      waitingSince = System.nanoTime();
    }
  }

  /** The wait is over; harmless when there was none. */
  public void stopWaiting() {
    if (waiting) {
      waiting = false;
      queueNanos += System.nanoTime() - waitingSince;
    }
  }

  /** How long the present wait has lasted, 0 when there is none. */
  public long waitingNanos() {
    return waiting ? System.nanoTime() - waitingSince : 0;
  }

  /** A step worked on this request. */
  public void computed(long nanos, int unitsDone) {
    computeNanos += nanos;
    units += unitsDone;
  }

  /** Units that needed no computation, because their result was there already. */
  public void cached(int units) {
    cached += units;
  }

  public void moved(long nanos, long bytes) {
    transferNanos += nanos;
    bytesMoved += bytes;
  }

  public StageTiming timing() {
    return StageTiming.newBuilder()
        .setStage(stage)
        .setNodeId(nodeId)
        .setPrecision(precision)
        .setQueueMs(queueNanos / 1e6)
        .setComputeMs(computeNanos / 1e6)
        .setTransferMs(transferNanos / 1e6)
        .setBytesMoved(bytesMoved)
        .setUnits(units)
        .setCachedUnits(cached)
        .build();
  }
}
