/**
 * Which adapters are where: in expert slots (hot), read in (warm) or in a mapped file (cold), and
 * which of them comes next. Weights are seen through {@link io.epidote.engine.tier.TieredWeights}
 * alone, time through a clock, so that all of it runs without a model.
 */
@NullMarked
package io.epidote.engine.tier;

import org.jspecify.annotations.NullMarked;
