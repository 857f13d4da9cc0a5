package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.Timeline;
import java.util.List;
import java.util.OptionalDouble;

/**
 * What is known of a request when it is over, without anything that was asked or answered.
 *
 * @param model as asked for; an adapter's name is behind a colon
 * @param media pictures and videos
 * @param promptTokens those of media included; 0 when it did not get as far
 * @param answerTokens of all answers
 * @param ttftMs from arrival to the first token; empty when there was none
 * @param tpotMs mean time of a token after the first; empty with fewer than two
 * @param slo its targets, or the router's
 * @param timelines of each answer; one without an answer's stages when the request failed early
 */
public record EndedRequest(
    String id,
    String model,
    int media,
    int promptTokens,
    int answerTokens,
    Outcome outcome,
    double totalMs,
    OptionalDouble ttftMs,
    OptionalDouble tpotMs,
    Slo slo,
    List<Timeline> timelines) {

  /** How it ended. */
  public enum Outcome {
    STOP(true),
    LENGTH(true),
    /** The client went away or ended it. */
    ABORT(false),
    /** It could never have been served: the client's mistake. */
    INVALID(false),
    /** There was no room or no time for it. */
    REFUSED(false),
    /** Nodes or time were lacking. */
    UNAVAILABLE(false),
    INTERNAL(false);

    private final boolean complete;

    Outcome(boolean complete) {
      this.complete = complete;
    }

    public boolean isComplete() {
      return complete;
    }

    /** Whether the cluster, not the client, is why there is no answer. */
    public boolean isFailure() {
      return this == REFUSED || this == UNAVAILABLE || this == INTERNAL;
    }

    static Outcome of(FinishReason reason) {
      return switch (reason) {
        case FINISH_REASON_STOP -> STOP;
        case FINISH_REASON_LENGTH -> LENGTH;
        case FINISH_REASON_ABORT -> ABORT;
        case FINISH_REASON_UNSPECIFIED, UNRECOGNIZED -> INTERNAL;
      };
    }

    static Outcome of(EpidoteException error) {
      return switch (error) {
        case EpidoteException.InvalidRequest e -> INVALID;
        case EpidoteException.TooLarge e -> INVALID;
        case EpidoteException.NotFound e -> INVALID;
        case EpidoteException.Unauthenticated e -> INVALID;
        case EpidoteException.Forbidden e -> INVALID;
        case EpidoteException.Exhausted e -> REFUSED;
        case EpidoteException.Unavailable e -> UNAVAILABLE;
        case EpidoteException.BadCheckpoint e -> INTERNAL;
        case EpidoteException.Internal e -> INTERNAL;
      };
    }
  }

  /** Whether it says anything about targets: it has some, and no client spoilt it. */
  public boolean counts() {
    return (slo.ttftMs().isPresent() || slo.tpotMs().isPresent())
        && (outcome.isComplete() || outcome.isFailure());
  }

  /** Whether it was answered within its targets. */
  public boolean isOnTarget() {
    return outcome.isComplete() && meets(ttftMs, slo.ttftMs()) && meets(tpotMs, slo.tpotMs());
  }

  private static boolean meets(OptionalDouble measured, OptionalDouble target) {
    return target.isEmpty() || measured.isEmpty() || measured.getAsDouble() <= target.getAsDouble();
  }
}
