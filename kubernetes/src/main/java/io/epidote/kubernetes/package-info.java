/**
 * Kubernetes as what surrounds a cluster: EndpointSlices say who is there, a Lease which router
 * changes roles, pod labels which stages a node has. The only place that touches the Kubernetes
 * client.
 */
@NullMarked
package io.epidote.kubernetes;

import org.jspecify.annotations.NullMarked;
