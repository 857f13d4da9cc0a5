package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.engine.Flow;

/** Names of tenants, as requests say them. */
public final class Tenant {
  private Tenant() {}

  /**
   * @param field names where it is from, for messages
   * @param name empty for the default tenant
   * @throws InvalidField when it cannot be one
   */
  public static String of(String field, String name) {
    try {
      return Flow.tenant(field, name);
    } catch (EpidoteException.InvalidRequest e) {
      throw new InvalidField(
          field, "cannot be; expected at most 64 letters, digits, '.', '_', '@' and '-'");
    }
  }
}
