/**
 * The engine thread: one platform thread per node that owns schedulers, block pools and models, the
 * queue by which other threads hand it work, and the line in which requests wait for blocks. No
 * network.
 */
@NullMarked
package io.epidote.node.engine;

import org.jspecify.annotations.NullMarked;
