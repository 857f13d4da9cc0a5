package io.epidote.engine.error;

import static java.util.Objects.requireNonNull;

import java.time.Duration;

/**
 * An error with a meaning to whoever called. The message is written for them: what was wrong, what
 * was expected, what to do.
 */
public abstract sealed class EpidoteException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private EpidoteException(String message) {
    super(requireNonNull(message, "message is null"));
  }

  private EpidoteException(String message, Throwable cause) {
    super(requireNonNull(message, "message is null"), cause);
  }

  /** The request itself is at fault: gRPC INVALID_ARGUMENT, HTTP 400. */
  public static final class InvalidRequest extends EpidoteException {
    private static final long serialVersionUID = 1L;

    public InvalidRequest(String message) {
      super(message);
    }

    public InvalidRequest(String message, Throwable cause) {
      super(message, cause);
    }
  }

  /** The request or a medium in it is over a size limit: gRPC INVALID_ARGUMENT, HTTP 413. */
  public static final class TooLarge extends EpidoteException {
    private static final long serialVersionUID = 1L;

    public TooLarge(String message) {
      super(message);
    }
  }

  /** What was named does not exist: gRPC NOT_FOUND, HTTP 404. */
  public static final class NotFound extends EpidoteException {
    private static final long serialVersionUID = 1L;

    public NotFound(String message) {
      super(message);
    }
  }

  /** Nobody knows who calls: gRPC UNAUTHENTICATED, HTTP 401. */
  public static final class Unauthenticated extends EpidoteException {
    private static final long serialVersionUID = 1L;

    public Unauthenticated(String message) {
      super(message);
    }
  }

  /** Whoever calls is known and may not do this: gRPC PERMISSION_DENIED, HTTP 403. */
  public static final class Forbidden extends EpidoteException {
    private static final long serialVersionUID = 1L;

    public Forbidden(String message) {
      super(message);
    }
  }

  /**
   * A bounded queue or pool is full, or a limit is reached: gRPC RESOURCE_EXHAUSTED, HTTP 429 with
   * Retry-After.
   */
  public static final class Exhausted extends EpidoteException {
    private static final long serialVersionUID = 1L;

    private final Duration retryAfter;

    /** To be tried again after a second. */
    public Exhausted(String message) {
      this(message, Duration.ofSeconds(1));
    }

    public Exhausted(String message, Duration retryAfter) {
      super(message);
      this.retryAfter = requireNonNull(retryAfter, "retryAfter is null");
    }

    /** When it is worth to try again, in whole seconds. */
    public long retryAfterSeconds() {
      return Math.max(1, retryAfter.plusMillis(999).toSeconds());
    }
  }

  /** A stage or a node is missing or was lost: gRPC UNAVAILABLE, HTTP 503. */
  public static final class Unavailable extends EpidoteException {
    private static final long serialVersionUID = 1L;

    public Unavailable(String message) {
      super(message);
    }

    public Unavailable(String message, Throwable cause) {
      super(message, cause);
    }
  }

  /** A folder is not a checkpoint that can be served: names the file, key or tensor. */
  public static final class BadCheckpoint extends EpidoteException {
    private static final long serialVersionUID = 1L;

    public BadCheckpoint(String message) {
      super(message);
    }

    public BadCheckpoint(String message, Throwable cause) {
      super(message, cause);
    }
  }

  /** A defect of Epidote: gRPC INTERNAL, HTTP 500. */
  public static final class Internal extends EpidoteException {
    private static final long serialVersionUID = 1L;

    public Internal(String message) {
      super(message);
    }

    public Internal(String message, Throwable cause) {
      super(message, cause);
    }
  }
}
