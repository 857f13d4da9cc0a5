/** The node's side of membership: a stream to each router that carries its description and load. */
@NullMarked
package io.epidote.node.registry;

import org.jspecify.annotations.NullMarked;
