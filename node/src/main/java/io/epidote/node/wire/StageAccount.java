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
  private int transfers;
  private long transferringSince;
  private long bytesMoved;
  private boolean announced;
  private long announcedAt;
  private long overlappedComputeNanos;
  private long overlappedTransferNanos;
  private long handoffNanos = -1;
  private int units;
  private int cached;
  private String kvWire = "";

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

  /** The last of the stage's input was announced to it; what was done until now overlapped. */
  public void inputAnnounced() {
    announced = true;
    announcedAt = System.nanoTime();
    overlappedComputeNanos = computeNanos;
    overlappedTransferNanos = transferNanos + transferring(announcedAt);
  }

  /** A step worked on this request, until now. */
  public void computed(long nanos, int unitsDone) {
    if (announced && handoffNanos < 0) {
      handoffNanos = Math.max(0, System.nanoTime() - nanos - announcedAt);
    }
    computeNanos += nanos;
    units += unitsDone;
  }

  /** Units that needed no computation, because their result was there already. */
  public void cached(int units) {
    cached += units;
  }

  /** KV blocks of this request come from another node in this form. */
  public void kvWire(String word) {
    kvWire = word;
  }

  /** A pull of this request began; there may be several at a time. */
  public void transferStarted() {
    if (transfers++ == 0) {
      transferringSince = System.nanoTime();
    }
  }

  /** A pull ended that moved this much. */
  public void transferEnded(long bytes) {
    bytesMoved += bytes;
    transferNanos += transfers == 1 ? transferring(System.nanoTime()) : 0;
    transfers--;
  }

  private long transferring(long now) {
    return transfers > 0 ? now - transferringSince : 0;
  }

  public StageTiming timing() {
    return StageTiming.newBuilder()
        .setStage(stage)
        .setNodeId(nodeId)
        .setPrecision(precision)
        .setQueueMs(queueNanos / 1e6)
        .setComputeMs(computeNanos / 1e6)
        .setTransferMs(transferNanos / 1e6)
        .setOverlappedComputeMs(overlappedComputeNanos / 1e6)
        .setOverlappedTransferMs(overlappedTransferNanos / 1e6)
        .setHandoffMs(Math.max(0, handoffNanos) / 1e6)
        .setBytesMoved(bytesMoved)
        .setUnits(units)
        .setCachedUnits(cached)
        .setKvWire(kvWire)
        .build();
  }
}
