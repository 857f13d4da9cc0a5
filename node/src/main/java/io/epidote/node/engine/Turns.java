package io.epidote.node.engine;

import static java.util.Objects.requireNonNull;

import java.util.Collection;
import java.util.List;

/**
 * Whose turn it is at a stage: tenants and adapters have their shares ({@link FairShare}), and a
 * {@link QueueOrder} says who is next among the requests of one of them. What an order gives by age
 * it gives within a flow: who floods a stage with requests that all get old overtakes nobody else.
 * Priorities are strict, and a tenant's own affair: its urgent requests go before all its others,
 * which may wait for ever, and before nobody else's.
 *
 * @param share of the stage alone
 */
public record Turns(QueueOrder order, FairShare share) {
  public Turns {
    requireNonNull(order, "order is null");
    requireNonNull(share, "share is null");
  }

  public Turns(QueueOrder order, TenantWeights weights) {
    this(order, new FairShare(weights));
  }

  /** Where all tenants are alike. */
  public static Turns of(QueueOrder order) {
    return new Turns(order, TenantWeights.EQUAL);
  }

  /**
   * Requests in the order of their turns.
   *
   * @param arrived in the order in which they came
   * @param now {@link System#nanoTime}
   */
  public <T extends Waiting> List<T> sort(Collection<T> arrived, long now) {
    return share.interleave(order.sort(arrived, now));
  }
}
