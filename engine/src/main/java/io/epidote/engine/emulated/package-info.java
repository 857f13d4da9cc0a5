/**
 * Models without arithmetic: what a step takes is a cost profile's duration, and what it writes is
 * a hash of what it was given. Everything around the models is as with real ones, so that a cluster
 * of many accelerators can be run and tested on a small machine.
 */
@NullMarked
package io.epidote.engine.emulated;

import org.jspecify.annotations.NullMarked;
