/**
 * Memory that a node owns and that other nodes may read: pools of fixed-size blocks in direct
 * buffers, for KV blocks and for media tokens. No models, no network.
 */
@NullMarked
package io.epidote.engine.memory;

import org.jspecify.annotations.NullMarked;
