package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import java.util.List;

/** Words for the kinds of errors, in metrics, traces and logs. */
final class ErrorKinds {
  static final List<String> ALL =
      List.of(
          "invalid_request",
          "too_large",
          "not_found",
          "unauthenticated",
          "forbidden",
          "exhausted",
          "unavailable",
          "bad_checkpoint",
          "internal");

  private ErrorKinds() {}

  static String of(EpidoteException error) {
    return switch (error) {
      case EpidoteException.InvalidRequest _ -> "invalid_request";
      case EpidoteException.TooLarge _ -> "too_large";
      case EpidoteException.NotFound _ -> "not_found";
      case EpidoteException.Unauthenticated _ -> "unauthenticated";
      case EpidoteException.Forbidden _ -> "forbidden";
      case EpidoteException.Exhausted _ -> "exhausted";
      case EpidoteException.Unavailable _ -> "unavailable";
      case EpidoteException.BadCheckpoint _ -> "bad_checkpoint";
      case EpidoteException.Internal _ -> "internal";
    };
  }
}
