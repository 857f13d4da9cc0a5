/** Microbenchmarks of the pieces that every token goes through. */
@NullMarked
package io.epidote.benchmarks;

import org.jspecify.annotations.NullMarked;
