/**
 * gRPC as every process of a cluster uses it: server and channel settings, channels shared by
 * address, and the mapping between {@link io.epidote.engine.error.EpidoteException} and statuses.
 * Bulk connections build on it in {@code transfer}; it knows nothing of stages.
 */
@NullMarked
package io.epidote.node.grpc;

import org.jspecify.annotations.NullMarked;
