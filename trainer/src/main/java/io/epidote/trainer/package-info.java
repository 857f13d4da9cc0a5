/** Trains models/scenes; not part of what is served. */
@NullMarked
package io.epidote.trainer;

import org.jspecify.annotations.NullMarked;
