/**
 * All three stages together over real sockets, with toy models that are pure functions: a lost,
 * swapped or corrupted block changes the answer.
 */
@NullMarked
package io.epidote.stages;

import org.jspecify.annotations.NullMarked;
