package io.epidote.client;

import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.Optional;

/** A request that got no answer, or lost it. The message says what to do. */
public final class RequestFailed extends RuntimeException {
  private static final long serialVersionUID = 1L;
  private static final Metadata.Key<String> RETRY_AFTER =
      Metadata.Key.of("retry-after", Metadata.ASCII_STRING_MARSHALLER);

  /** What the caller can do. */
  public enum Kind {
    /** Change the request: the message names the field. */
    BAD_REQUEST,
    /** Ask for another model or adapter. */
    NO_SUCH_MODEL,
    /** Ask again a little later: {@link #retryAfter}. */
    BUSY,
    /** A stage or the router is missing; ask again when it is back. */
    UNAVAILABLE,
    /** It took longer than {@link Question#timeout}. */
    TIMED_OUT,
    /** This side ended it. */
    CANCELLED,
    /** A defect of the server, whose log has more. */
    FAILED
  }

  private final Kind kind;
  private final transient Optional<Duration> retryAfter;

  private RequestFailed(
      Kind kind, String message, Optional<Duration> retryAfter, StatusRuntimeException cause) {
    super(message, cause);
    this.kind = kind;
    this.retryAfter = retryAfter;
  }

  static RequestFailed of(StatusRuntimeException error, String address) {
    Status status = error.getStatus();
    String told = String.valueOf(status.getDescription());
    Kind kind =
        switch (status.getCode()) {
          case INVALID_ARGUMENT, OUT_OF_RANGE -> Kind.BAD_REQUEST;
          case NOT_FOUND -> Kind.NO_SUCH_MODEL;
          case RESOURCE_EXHAUSTED -> Kind.BUSY;
          case UNAVAILABLE -> Kind.UNAVAILABLE;
          case DEADLINE_EXCEEDED -> Kind.TIMED_OUT;
          case CANCELLED -> Kind.CANCELLED;
          default -> Kind.FAILED;
        };
    String message =
        switch (kind) {
          case UNAVAILABLE -> unavailable(status, told, address);
          case TIMED_OUT ->
              "The answer took longer than the question's timeout; give it more time, or ask for fewer tokens.";
          case CANCELLED -> "The answer was cancelled by this client.";
          case BAD_REQUEST, NO_SUCH_MODEL, BUSY, FAILED -> told;
        };
    Metadata trailers = Status.trailersFromThrowable(error);
    return new RequestFailed(
        kind,
        message,
        Optional.ofNullable(trailers)
            .map(metadata -> metadata.get(RETRY_AFTER))
            .map(seconds -> Duration.ofSeconds(Long.parseLong(seconds))),
        error);
  }

  /** A router that is missing says nothing itself; one that misses a stage does. */
  private static String unavailable(Status status, String told, String address) {
    return status.getCause() == null
        ? told
        : "No router answers at %s (%s); start one, or connect to another address."
            .formatted(address, status.getCause().getMessage());
  }

  public Kind kind() {
    return kind;
  }

  /** When the server said to ask again. */
  public Optional<Duration> retryAfter() {
    return retryAfter;
  }
}
