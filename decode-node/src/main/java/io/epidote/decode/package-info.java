/** The decode stage: KV blocks in, tokens out, continuously batched. */
@NullMarked
package io.epidote.decode;

import org.jspecify.annotations.NullMarked;
