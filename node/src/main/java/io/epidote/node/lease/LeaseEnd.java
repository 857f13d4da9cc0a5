package io.epidote.node.lease;

/** Why a lease is over. */
public enum LeaseEnd {
  /** The consumer has the bytes, or gave up. */
  RELEASED,
  /** Nobody pulled or renewed within the lease period. */
  EXPIRED,
  /** The producer took it back, because the request was cancelled. */
  REVOKED
}
