package io.epidote.router.access;

import io.epidote.engine.error.EpidoteException.Forbidden;

/**
 * For whom a request comes.
 *
 * @param tenant by the API key; empty where none is asked for
 * @param certain whether it follows from a key, and is not merely said
 */
public record Caller(String tenant, boolean certain) {
  /** Whoever it says it is. */
  public static final Caller ANYBODY = new Caller("", false);

  /**
   * The tenant of a request that says one itself.
   *
   * @param claimed empty when it says none
   * @throws Forbidden when it is another's
   */
  public String tenant(String claimed) {
    if (!certain) {
      return claimed;
    }
    if (!claimed.isEmpty() && !claimed.equals(tenant)) {
      throw new Forbidden(
          "The request names the tenant \"%s\", and its API key is of another; leave the tenant out"
              .formatted(claimed));
    }
    return tenant;
  }
}
