/** The gRPC front door: {@code epidote.v1.Inference}, health and reflection. */
@NullMarked
package io.epidote.router.rpc;

import org.jspecify.annotations.NullMarked;
