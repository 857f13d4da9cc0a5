package io.epidote.node.grpc;

import io.epidote.engine.error.EpidoteException;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The one mapping between {@link EpidoteException} and gRPC statuses. Several kinds share a status
 * code, so the kind travels in a trailer and is the same on the other side.
 */
public final class GrpcErrors {
  private static final Logger log = LoggerFactory.getLogger(GrpcErrors.class);

  /** Names the kind of an {@link EpidoteException}, for example {@code too-large}. */
  public static final Metadata.Key<String> KIND =
      Metadata.Key.of("epidote-error-kind", Metadata.ASCII_STRING_MARSHALLER);

  /** Trailers are bounded (8 KiB by default), and so is a reader's patience. */
  private static final int MAX_DESCRIPTION = 1500;

  private GrpcErrors() {}

  /**
   * What to end a call with. Statuses pass as they are; an error that was not meant for a caller
   * becomes INTERNAL without its message, and is logged with its stack.
   */
  public static StatusRuntimeException toStatus(Throwable error) {
    return switch (unwrap(error)) {
      case EpidoteException e -> toStatus(e);
      case StatusRuntimeException e -> e;
      case StatusException e -> new StatusRuntimeException(e.getStatus(), e.getTrailers());
      case CancellationException e -> Status.CANCELLED.withCause(e).asRuntimeException();
      case Throwable e -> {
        log.error("A call failed with an error that its caller is not told", e);
        yield Status.INTERNAL
            .withDescription(
                "Internal error (%s); the node's log has the details."
                    .formatted(e.getClass().getSimpleName()))
            .asRuntimeException(kind("internal"));
      }
    };
  }

  private static StatusRuntimeException toStatus(EpidoteException error) {
    record Mapping(Status status, String kind) {}
    Mapping mapping =
        switch (error) {
          case EpidoteException.InvalidRequest e ->
              new Mapping(Status.INVALID_ARGUMENT, "invalid-request");
          case EpidoteException.TooLarge e -> new Mapping(Status.INVALID_ARGUMENT, "too-large");
          case EpidoteException.NotFound e -> new Mapping(Status.NOT_FOUND, "not-found");
          case EpidoteException.Unauthenticated e ->
              new Mapping(Status.UNAUTHENTICATED, "unauthenticated");
          case EpidoteException.Forbidden e -> new Mapping(Status.PERMISSION_DENIED, "forbidden");
          case EpidoteException.Exhausted e -> new Mapping(Status.RESOURCE_EXHAUSTED, "exhausted");
          case EpidoteException.Unavailable e -> new Mapping(Status.UNAVAILABLE, "unavailable");
          case EpidoteException.BadCheckpoint e ->
              new Mapping(Status.FAILED_PRECONDITION, "bad-checkpoint");
          case EpidoteException.Internal e -> {
            log.error("A call failed with a defect", e);
            yield new Mapping(Status.INTERNAL, "internal");
          }
        };
    return mapping
        .status()
        .withDescription(shorten(error.getMessage()))
        .withCause(error)
        .asRuntimeException(kind(mapping.kind()));
  }

  /**
   * What a failed call means. The kind comes from the trailer; a status without one (from gRPC
   * itself: a lost connection, a deadline) is mapped by its code.
   */
  public static EpidoteException fromStatus(Throwable error) {
    Throwable cause = unwrap(error);
    if (cause instanceof EpidoteException e) {
      return e;
    }
    Status status = Status.fromThrowable(cause);
    Metadata trailers = Status.trailersFromThrowable(cause);
    String kind = trailers == null ? null : trailers.get(KIND);
    String message = describe(status, cause);
    return switch (kind == null ? byCode(status) : kind) {
      case "invalid-request" -> new EpidoteException.InvalidRequest(message, cause);
      case "too-large" -> new EpidoteException.TooLarge(message);
      case "not-found" -> new EpidoteException.NotFound(message);
      case "unauthenticated" -> new EpidoteException.Unauthenticated(message);
      case "forbidden" -> new EpidoteException.Forbidden(message);
      case "exhausted" -> new EpidoteException.Exhausted(message);
      case "unavailable" -> new EpidoteException.Unavailable(message, cause);
      case "bad-checkpoint" -> new EpidoteException.BadCheckpoint(message, cause);
      default -> new EpidoteException.Internal(message, cause);
    };
  }

  /**
   * Whether a peer of ours ended the call with this error, and not the connection or gRPC itself.
   */
  public static boolean wasTold(Throwable error) {
    Metadata trailers = Status.trailersFromThrowable(unwrap(error));
    return trailers != null && trailers.containsKey(KIND);
  }

  private static String byCode(Status status) {
    return switch (status.getCode()) {
      case INVALID_ARGUMENT, OUT_OF_RANGE -> "invalid-request";
      case NOT_FOUND -> "not-found";
      case UNAUTHENTICATED -> "unauthenticated";
      case PERMISSION_DENIED -> "forbidden";
      case RESOURCE_EXHAUSTED -> "exhausted";
      // Nobody is left to tell a cancelled call anything: the peer, or we, gave it up.
      case UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, ABORTED -> "unavailable";
      case FAILED_PRECONDITION -> "bad-checkpoint";
      default -> "internal";
    };
  }

  private static String describe(Status status, Throwable cause) {
    String description = status.getDescription();
    if (description != null) {
      return description;
    }
    String message = status.getCode() == Status.Code.UNKNOWN ? cause.getMessage() : null;
    return message != null ? message : "The call ended with " + status.getCode() + ".";
  }

  private static Metadata kind(String kind) {
    Metadata trailers = new Metadata();
    trailers.put(KIND, kind);
    return trailers;
  }

  private static Throwable unwrap(Throwable error) {
    Throwable current = error;
    while ((current instanceof CompletionException || current instanceof ExecutionException)
        && current.getCause() != null) {
      current = current.getCause();
    }
    return current;
  }

  private static String shorten(@Nullable String message) {
    if (message == null) {
      return "";
    }
    return message.length() <= MAX_DESCRIPTION
        ? message
        : message.substring(0, MAX_DESCRIPTION) + "…";
  }
}
