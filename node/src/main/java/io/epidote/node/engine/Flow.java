package io.epidote.node.engine;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.util.regex.Pattern;

/**
 * For whom a request is, and how urgent: what shares a stage with others.
 *
 * @param tenant empty for the default one
 * @param adapter its name, empty for the model itself
 * @param priority less is earlier among the requests of the tenant
 */
public record Flow(String tenant, String adapter, int priority) {
  private static final Pattern TENANT = Pattern.compile("[A-Za-z0-9._@-]{0,64}");

  /** The default tenant's, of the model itself. */
  public static final Flow NONE = new Flow("", "", 0);

  public Flow {
    requireNonNull(tenant, "tenant is null");
    requireNonNull(adapter, "adapter is null");
  }

  /** Whether a request of this flow gives way to one of the other. */
  public boolean givesWayTo(Flow other) {
    return tenant.equals(other.tenant) && priority > other.priority;
  }

  /**
   * Checks a tenant's name.
   *
   * @param field where it is from, for the message
   * @throws InvalidRequest when it cannot be one
   */
  public static String tenant(String field, String name) {
    if (!TENANT.matcher(name).matches()) {
      throw new InvalidRequest(
          "%s is no tenant's name; expected at most 64 letters, digits, '.', '_', '@' and '-'"
              .formatted(field));
    }
    return name;
  }
}
