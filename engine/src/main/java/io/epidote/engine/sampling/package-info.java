/** Choosing tokens from logits, with what the caller asked to know about the choice. */
@NullMarked
package io.epidote.engine.sampling;

import org.jspecify.annotations.NullMarked;
