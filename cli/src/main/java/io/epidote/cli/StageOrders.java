package io.epidote.cli;

import io.epidote.node.engine.QueueOrder.Policy;
import picocli.CommandLine.ITypeConverter;

/** Whose turn it is at each stage. */
record StageOrders(ByStage<Policy> policies) {
  static final StageOrders FCFS = new StageOrders(ByStage.all(Policy.FCFS));

  /**
   * Reads {@code sjf}, or {@code encode=sjf,prefill=slack}, where stages that are not named are
   * first come, first served.
   *
   * @throws io.epidote.engine.error.EpidoteException.InvalidRequest naming the part that is
   *     something else
   */
  static StageOrders parse(String text) {
    return new StageOrders(
        ByStage.parse(
            "--order", text, "encode=sjf,prefill=slack,decode=fcfs", Policy.FCFS, Policy::ofWord));
  }

  /** What {@link #parse} reads. */
  String word() {
    return policies.word(Policy::word);
  }

  static final class Converter implements ITypeConverter<StageOrders> {
    @Override
    public StageOrders convert(String text) {
      return parse(text);
    }
  }
}
