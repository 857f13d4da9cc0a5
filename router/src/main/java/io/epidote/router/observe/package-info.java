/**
 * What the router tells of the cluster to those who watch it: metrics of nodes, roles, adapters.
 */
@NullMarked
package io.epidote.router.observe;

import org.jspecify.annotations.NullMarked;
