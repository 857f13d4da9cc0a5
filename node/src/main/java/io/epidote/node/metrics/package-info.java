/**
 * What routers and nodes have in common of metrics: buckets, the process's own numbers, and the
 * page that Prometheus reads.
 */
@NullMarked
package io.epidote.node.metrics;

import org.jspecify.annotations.NullMarked;
