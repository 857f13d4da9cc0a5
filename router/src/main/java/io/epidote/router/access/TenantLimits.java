package io.epidote.router.access;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import io.epidote.engine.error.EpidoteException.InvalidRequest;

/**
 * How much a tenant may have of a router; 0 is no bound.
 *
 * @param requestsPerSecond on average; ten seconds of it may come at once
 * @param tokensPerSecond of prompts and answers, on average; ten seconds of it may come at once
 * @param tokensPerDay of prompts and answers, from midnight to midnight, UTC
 * @param concurrent requests that are waiting or at work
 */
@JsonInclude(JsonInclude.Include.NON_DEFAULT)
public record TenantLimits(
    @JsonProperty("requests_per_second") double requestsPerSecond,
    @JsonProperty("tokens_per_second") double tokensPerSecond,
    @JsonProperty("tokens_per_day") long tokensPerDay,
    @JsonProperty("concurrent") int concurrent) {
  /** No bounds. */
  public static final TenantLimits NONE = new TenantLimits(0, 0, 0, 0);

  public TenantLimits {
    if (!(requestsPerSecond >= 0)
        || !(tokensPerSecond >= 0)
        || tokensPerDay < 0
        || concurrent < 0) {
      throw new InvalidRequest(
          "A tenant's limits must be 0, which is none, or more: %s requests/s, %s tokens/s, %d tokens/day, %d at a time"
              .formatted(requestsPerSecond, tokensPerSecond, tokensPerDay, concurrent));
    }
  }
}
