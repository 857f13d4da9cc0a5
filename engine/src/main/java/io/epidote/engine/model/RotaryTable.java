package io.epidote.engine.model;

import io.epidote.engine.checkpoint.Rope;
import io.epidote.engine.checkpoint.RopeScaling.Linear;
import io.epidote.engine.checkpoint.RopeScaling.Llama3;
import io.epidote.engine.checkpoint.RopeScaling.None;
import io.epidote.engine.checkpoint.RopeScaling.Yarn;
import io.epidote.engine.kernel.AttentionShape;

/** The angles of a rotary embedding. */
final class RotaryTable {
  private final Rope rope;
  private final int width;

  /**
   * @param width floats that turn, twice the number of pairs
   */
  RotaryTable(Rope rope, int width) {
    this.rope = rope;
    this.width = width;
  }

  /** Of every position below {@code positions}, from element {@code start} of a row on. */
  AttentionShape.Rotation rotation(int start, int positions) {
    double magnitude = rope.scaling() instanceof Yarn yarn ? yarn.magnitude() : 1;
    int pairs = width / 2;
    float[] cosines = new float[Math.multiplyExact(positions, pairs)];
    float[] sines = new float[cosines.length];
    for (int pair = 0; pair < pairs; pair++) {
      double turn = radians(pair);
      for (int position = 0; position < positions; position++) {
        double angle = position * turn;
        cosines[position * pairs + pair] = (float) (magnitude * Math.cos(angle));
        sines[position * pairs + pair] = (float) (magnitude * Math.sin(angle));
      }
    }
    return new AttentionShape.Rotation(start, width, cosines, sines);
  }

  /** By how much a pair turns with each position. */
  private double radians(int pair) {
    double turn = Math.pow(rope.theta(), -2.0 * pair / width);
    return switch (rope.scaling()) {
      case None() -> turn;
      case Linear(double factor) -> turn / factor;
      case Llama3 llama3 -> llama3(turn, llama3);
      case Yarn yarn -> yarn(pair, turn, yarn);
    };
  }

  private static double llama3(double turn, Llama3 scaling) {
    double turns = scaling.originalContext() * turn / (2 * Math.PI);
    double share =
        (turns - scaling.lowFrequency()) / (scaling.highFrequency() - scaling.lowFrequency());
    return blend(turn, scaling.factor(), Math.clamp(share, 0, 1));
  }

  /** Section 3.2 of the paper, as the first implementation has it: the blend is linear in pairs. */
  private double yarn(int pair, double turn, Yarn scaling) {
    double first = pairOf(scaling.fastTurns(), scaling);
    double last = pairOf(scaling.slowTurns(), scaling);
    if (scaling.wholePairs()) {
      first = Math.floor(first);
      last = Math.ceil(last);
    }
    first = Math.max(first, 0);
    last = Math.min(last, width - 1);
    double length = first == last ? 0.001 : last - first;
    return blend(turn, scaling.factor(), 1 - Math.clamp((pair - first) / length, 0, 1));
  }

  /** The pair that makes so many turns in the original context. */
  private double pairOf(double turns, Yarn scaling) {
    return width
        * Math.log(scaling.originalContext() / (turns * 2 * Math.PI))
        / (2 * Math.log(rope.theta()));
  }

  /** From divided by {@code factor} at share 0 to left alone at share 1. */
  private static double blend(double turn, double factor, double share) {
    return turn / factor * (1 - share) + turn * share;
  }
}
