package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.router.cluster.Member;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Whether an answer that lost a stage is tried again, when, and where rather not. Within the
 * request's turn.
 *
 * <p>Two bounds hold between one token of a decode node and the next. Nodes that were lost with the
 * request, or failed on it, are counted, so that a request that kills its nodes is given up before
 * it has killed them all. And nobody waits for nodes longer than the router is told to.
 */
final class Recovery {
  /** Nodes that one request may take with it. */
  static final int MOST_NODES = 3;

  private static final long FIRST_DELAY_MS = 20;
  private static final long LAST_DELAY_MS = 1000;
  private static final int MOST_DOUBLINGS = 6;

  /** How soon nodes are looked for again when there are none. */
  private static final long NO_PLACE_DELAY_MS = 100;

  private final long waitMs;
  private final LongSupplier clock;
  private final Set<Member> avoided = new HashSet<>();
  private int losses;
  private int nodes;
  private int tries;
  private boolean progressed;
  private long stuckSince;
  private String lastLoss = "";

  /**
   * @param waitMs how long an answer may be without a node or a token before it is given up
   * @param clock in nanoseconds
   */
  Recovery(long waitMs, LongSupplier clock) {
    this.waitMs = waitMs;
    this.clock = clock;
  }

  /** Decode goes on with the answer. */
  void progress() {
    if (tries > 0 || !progressed) {
      progressed = true;
      tries = 0;
      nodes = 0;
      avoided.clear();
    }
  }

  /** How often a stage was lost in all. */
  int losses() {
    return losses;
  }

  /** Nodes that are taken for the next attempt only if there are no others. */
  Set<Member> avoided() {
    return Set.copyOf(avoided);
  }

  /**
   * A stage was lost.
   *
   * @return null to go on after {@link #delayMs}, or what to tell the client
   */
  @Nullable EpidoteException lost(StageFailure failure) {
    boolean leaving = failure.seat().member().status().getDraining();
    boolean first = losses == 0 && !progressed;
    switch (failure.error()) {
      case EpidoteException.Unavailable _ -> {
        if (failure.silent() && !leaving) {
          nodes++;
        }
      }
      // A node that does not let its router in is of no use to anybody.
      case EpidoteException.Internal _,
          EpidoteException.Unauthenticated _,
          EpidoteException.Forbidden _ ->
          nodes++;
      case EpidoteException.Exhausted _, EpidoteException.NotFound _ -> {
        // Who has not begun can come again; who has, waits.
        if (first) {
          return failure.error();
        }
      }
      case EpidoteException.InvalidRequest _,
          EpidoteException.TooLarge _,
          EpidoteException.BadCheckpoint _ -> {
        return failure.error();
      }
    }
    losses++;
    lastLoss = String.valueOf(failure.error().getMessage()).strip();
    began();
    tries++;
    avoided.add(failure.seat().member());
    if (nodes >= MOST_NODES) {
      return gaveUp(
          failure.error(),
          "%d nodes were lost or failed while they worked on this request and decode had not one more token; it is not tried on another, in case it is what they fail on."
              .formatted(nodes));
    }
    return isTooLong() ? gaveUp(failure.error(), waited()) : null;
  }

  /**
   * No nodes can do it now.
   *
   * @return milliseconds after which to look again; negative when that has been done long enough
   */
  long noPlace() {
    if (tries == 0) {
      began();
      tries++;
    }
    return isTooLong() ? -1 : NO_PLACE_DELAY_MS;
  }

  /** What to tell a client for whom there were no nodes in all that time. */
  EpidoteException noPlaceLeft(EpidoteException last) {
    return gaveUp(last, String.valueOf(last.getMessage()).strip() + " " + waited());
  }

  private String waited() {
    return "It could not go on within %s s, the longest that this router waits (--recovery-wait); send the request again."
        .formatted(waitMs / 1000.0);
  }

  /** Longer every time, so that what is known of the nodes has time to come. */
  long delayMs() {
    return Math.min(LAST_DELAY_MS, FIRST_DELAY_MS << Math.min(MOST_DOUBLINGS, tries - 1));
  }

  private void began() {
    if (tries == 0) {
      stuckSince = clock.getAsLong();
    }
  }

  private boolean isTooLong() {
    return TimeUnit.NANOSECONDS.toMillis(clock.getAsLong() - stuckSince) >= waitMs;
  }

  private EpidoteException gaveUp(EpidoteException last, String why) {
    String message = (lastLoss + " " + why).strip();
    return last instanceof EpidoteException.Internal
        ? new EpidoteException.Internal(message, last)
        : new EpidoteException.Unavailable(message, last);
  }
}
