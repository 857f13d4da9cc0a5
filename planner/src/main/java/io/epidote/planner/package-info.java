/**
 * The search for the best use of a number of devices: which nodes, how large their batches, whose
 * turn it is and whether media are divided, by goodput in the simulator less what devices cost.
 */
@NullMarked
package io.epidote.planner;

import org.jspecify.annotations.NullMarked;
