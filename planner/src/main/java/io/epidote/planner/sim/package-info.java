/**
 * A cluster in virtual time: router and nodes as a discrete-event simulation. What it decides with
 * is what the real processes decide with: placement, orders of queues, sizes of batches and chunks,
 * admission by KV budget, and the costs that nodes measure of themselves. What is its own is only
 * what carries messages and lets time pass. No network, no threads.
 */
@NullMarked
package io.epidote.planner.sim;

import org.jspecify.annotations.NullMarked;
