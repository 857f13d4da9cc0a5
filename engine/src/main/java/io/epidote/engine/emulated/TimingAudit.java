package io.epidote.engine.emulated;

import io.epidote.engine.cost.CostStage;
import java.util.EnumMap;
import java.util.Map;

/**
 * What emulated steps took beside what their profile says: how far the emulation itself is off,
 * because hashing, timers and the work between steps take time on a busy machine. Safe for use by
 * several threads.
 */
public final class TimingAudit {
  private static final class Sums {
    private long steps;
    private double prescribedMs;
    private double extraMs;
  }

  private final Map<CostStage, Sums> stages = new EnumMap<>(CostStage.class);

  /**
   * @param prescribedMs by the profile
   * @param extraMs beyond it, and between this step and one that it followed at once
   */
  synchronized void add(CostStage stage, double prescribedMs, double extraMs) {
    Sums sums = stages.computeIfAbsent(stage, _ -> new Sums());
    sums.steps++;
    sums.prescribedMs += prescribedMs;
    sums.extraMs += extraMs;
  }

  /** Drops what was added. */
  public synchronized void forget() {
    stages.clear();
  }

  public synchronized long steps(CostStage stage) {
    return stages.containsKey(stage) ? stages.get(stage).steps : 0;
  }

  /** Of the time that a stage's steps should have taken; 0 without any. */
  public synchronized double error(CostStage stage) {
    Sums sums = stages.get(stage);
    return sums == null || sums.prescribedMs == 0 ? 0 : sums.extraMs / sums.prescribedMs;
  }
}
