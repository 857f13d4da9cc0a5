package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.router.cluster.Member.Seat;

/**
 * A stage that cannot do its part of an answer.
 *
 * @param seat where
 * @param error what to tell the client if nobody else can do it
 * @param silent whether the node itself said nothing: it, or the way to it, is gone
 */
record StageFailure(Seat seat, EpidoteException error, boolean silent) {}
