/**
 * Leases on blocks that another stage may pull: who may read what, for how long, and when the
 * producer may free it. Knows neither gRPC nor stages.
 */
@NullMarked
package io.epidote.node.lease;

import org.jspecify.annotations.NullMarked;
