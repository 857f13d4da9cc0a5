/**
 * Models as pure functions: tiles to media tokens, token chunks to logits and KV blocks. The node
 * owns all memory; a model reads and writes what it is given. {@code VisionEncoder} and {@code
 * Decoder} are the seam behind which the arithmetic can be exchanged.
 */
@NullMarked
package io.epidote.engine.model;

import org.jspecify.annotations.NullMarked;
