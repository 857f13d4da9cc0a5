package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.router.cluster.Placement;
import java.util.List;

/**
 * Whether a request's first token will come in time: what is left of its targets, what is expected
 * of the nodes that were chosen, and whether it is refused for that. Belongs to the request.
 */
final class Punctuality {
  private final Slo target;
  private final boolean refuses;
  private final FirstTokenMargin margin;
  private final RequestMetrics.Recording recording;
  private boolean expectedLate;

  /** Of the first token, while it is to be compared with what comes; else 0. */
  private double predictedMs;

  private double placedMs;

  /**
   * @param target from when the request arrived
   * @param refusesLate whether this router refuses what will be late
   * @param margin of this router's predictions
   */
  Punctuality(
      Slo target,
      boolean refusesLate,
      FirstTokenMargin margin,
      RequestMetrics.Recording recording) {
    this.target = target;
    this.refuses = refusesLate && !target.lateOk() && target.ttftMs().isPresent();
    this.margin = margin;
    this.recording = recording;
  }

  /** What is left of the targets now. */
  Slo left() {
    return target.after(recording.ageMs());
  }

  /** Whether the request is refused rather than late. */
  boolean refuses() {
    return refuses;
  }

  /** Milliseconds until a request without a first token is late; 0 when it is. */
  long leftMs() {
    return Math.max(0, (long) left().ttftMs().orElse(Double.MAX_VALUE));
  }

  /** Whether the request is late already, and refused for it. */
  boolean isTooLate() {
    return refuses && left().isMissedBy(0);
  }

  /** The refusal of a request that is late already. */
  EpidoteException tooLate() {
    return tooLate(0);
  }

  private EpidoteException tooLate(double predicted) {
    recording.refusedLate();
    return RequestFlow.tooLate(predicted, left());
  }

  /**
   * Nodes were chosen for the answers that begin now.
   *
   * @throws EpidoteException.Exhausted when the first token is expected late, and the request is
   *     refused for it
   */
  void placed(List<Placement> placements) {
    Slo left = left();
    double firstTokenMs =
        placements.stream().mapToDouble(Placement::predictedFirstTokenMs).max().orElse(0);
    boolean waits = !placements.isEmpty() && placements.getFirst().waits();
    double lateMs = waits ? margin.factor() * firstTokenMs : firstTokenMs;
    expectedLate = left.isMissedBy(lateMs);
    // Who waits for nobody is served: were that refused, costs that were once measured wrong, on a
    // busy machine say, would never be measured again.
    if (expectedLate && refuses && (waits || left.isMissedBy(0))) {
      throw tooLate(lateMs);
    }
    predictedMs = waits ? firstTokenMs : 0;
    placedMs = recording.ageMs();
  }

  /** The first token came; nothing when it had come before. */
  void firstToken() {
    if (predictedMs > 0) {
      margin.came(predictedMs, recording.ageMs() - placedMs);
      predictedMs = 0;
    }
  }

  /** Whether the first token was expected late when nodes were chosen. */
  boolean expectedLate() {
    return expectedLate;
  }
}
