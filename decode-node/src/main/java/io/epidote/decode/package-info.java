/**
 * The decode stage: continues answers from KV blocks that a prefill stage made, batching
 * continuously.
 */
@NullMarked
package io.epidote.decode;

import org.jspecify.annotations.NullMarked;
