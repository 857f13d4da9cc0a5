package io.epidote.node.engine;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.util.Map;

/**
 * How much of what is contended each tenant gets in proportion to the others.
 *
 * @param weights by tenant; 1 for those that are not there
 */
public record TenantWeights(Map<String, Double> weights) {
  /** All alike. */
  public static final TenantWeights EQUAL = new TenantWeights(Map.of());

  private static final double MOST = 1e6;

  /**
   * @throws InvalidRequest when a name or a weight cannot be
   */
  public TenantWeights {
    weights = Map.copyOf(weights);
    weights.forEach((tenant, weight) -> {
      String unused = Flow.tenant("'%s'".formatted(tenant), tenant);
      if (!(weight >= 1 / MOST && weight <= MOST)) {
        throw new InvalidRequest(
            "The weight %s of tenant '%s' cannot be; expected a number above 0, such as 2 for twice the share of others"
                .formatted(weight, tenant));
      }
    });
  }

  /** 1 for one that has none. */
  public double of(String tenant) {
    return weights.getOrDefault(tenant, 1.0);
  }
}
