/**
 * Small random checkpoints and what another implementation answers on the same weights. The numbers
 * are in {@code src/test/resources/golden}; its README.md says how they came about.
 */
@NullMarked
package io.epidote.engine.reference;

import org.jspecify.annotations.NullMarked;
