package io.epidote.router.request;

import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Function;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * What a call says beside its message: HTTP's headers, and gRPC's metadata by the same names.
 *
 * @param values by their names, in lower case
 */
public record RequestHeaders(Function<String, @Nullable String> values) {
  /** Of a call that has none. */
  public static final RequestHeaders NONE = new RequestHeaders(name -> null);

  private static final Pattern REQUEST_ID = Pattern.compile("[A-Za-z0-9._:-]{1,128}");
  private static final String ID = "x-request-id";
  private static final String CACHE_SALT = "x-epidote-cache-salt";
  private static final String TENANT = "x-epidote-tenant";
  private static final String SLO_TTFT = "x-epidote-slo-ttft-ms";
  private static final String SLO_TPOT = "x-epidote-slo-tpot-ms";
  private static final String LATE_OK = "x-epidote-late-ok";

  /** Whether a client's name for a request can be used. */
  public static boolean isRequestId(String id) {
    return REQUEST_ID.matcher(id).matches();
  }

  /** The client's name for the request; empty when there is none that can be used. */
  public Optional<String> requestId() {
    return Optional.ofNullable(values.apply(ID)).filter(RequestHeaders::isRequestId);
  }

  /**
   * Whose cached prompts the client may find.
   *
   * @throws InvalidField when the header is too long
   */
  public CacheSalt cacheSalt() {
    String salt = values.apply(CACHE_SALT);
    return salt == null ? CacheSalt.NONE : CacheSalt.of(CACHE_SALT, salt);
  }

  /**
   * The tenant that the client names; empty when it names none.
   *
   * @throws InvalidField when the header cannot be a tenant's name
   */
  public String tenant() {
    String name = values.apply(TENANT);
    return name == null ? "" : Tenant.of(TENANT, name);
  }

  /**
   * How fast the client wants its answer.
   *
   * @throws InvalidField when a header is no positive number
   */
  public Slo slo() {
    return new Slo(target(SLO_TTFT), target(SLO_TPOT), lateOk());
  }

  private boolean lateOk() {
    String word = values.apply(LATE_OK);
    if (word == null || word.equals("false")) {
      return false;
    }
    if (word.equals("true")) {
      return true;
    }
    throw new InvalidField(LATE_OK, "is \"%s\"; expected true or false".formatted(word));
  }

  private OptionalDouble target(String header) {
    String ms = values.apply(header);
    if (ms == null) {
      return OptionalDouble.empty();
    }
    try {
      return Slo.target(header, Double.parseDouble(ms.strip()));
    } catch (NumberFormatException e) {
      throw new InvalidField(header, "is not a number; expected milliseconds above 0, such as 500");
    }
  }
}
