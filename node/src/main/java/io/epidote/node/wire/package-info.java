/** Between the messages of the wire and the engine's types: sampling, tokens and timings. */
@NullMarked
package io.epidote.node.wire;

import org.jspecify.annotations.NullMarked;
