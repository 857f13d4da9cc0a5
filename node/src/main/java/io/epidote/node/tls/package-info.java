/**
 * TLS as every port of a cluster uses it: certificates from PEM files that are read again when they
 * change, who a peer is by its certificate, which services it may call, and why somebody was
 * refused. It knows gRPC and Netty, and nothing of stages.
 */
@NullMarked
package io.epidote.node.tls;

import org.jspecify.annotations.NullMarked;
