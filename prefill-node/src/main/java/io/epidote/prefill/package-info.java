/**
 * The prefill stage: prompts and handles on media tokens in, the first token and a handle on KV
 * blocks out.
 */
@NullMarked
package io.epidote.prefill;

import org.jspecify.annotations.NullMarked;
