/**
 * gRPC as every process of a cluster uses it: server and channel settings, channels shared by
 * address, and the mapping between {@link io.epidote.engine.error.EpidoteException} and statuses.
 * The only package that names Netty's builders; it knows nothing of stages.
 */
@NullMarked
package io.epidote.node.grpc;

import org.jspecify.annotations.NullMarked;
