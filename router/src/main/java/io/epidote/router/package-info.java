/**
 * The router: one process in front of the nodes. {@link io.epidote.router.Router} wires the two
 * front doors (OpenAI HTTP and gRPC) to one request path and to the cluster's membership.
 */
@NullMarked
package io.epidote.router;

import org.jspecify.annotations.NullMarked;
