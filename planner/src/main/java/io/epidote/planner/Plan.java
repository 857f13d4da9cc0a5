package io.epidote.planner;

import io.epidote.node.engine.QueueOrder.Policy;

/**
 * A way to use devices.
 *
 * @param prefillStep prompt tokens of a step
 * @param decodeBatch answers of a step
 * @param order of turns, in all stages
 * @param divides whether media of a request are divided over encode nodes
 */
public record Plan(Layout layout, int prefillStep, int decodeBatch, Policy order, boolean divides) {
  /** With what nodes do when nothing is said. */
  public static Plan usual(Layout layout) {
    return new Plan(layout, 2048, 64, Policy.FCFS, true);
  }

  Plan with(Layout other) {
    return new Plan(other, prefillStep, decodeBatch, order, divides);
  }
}
