/** What gives readers of foreign bytes such as nobody has thought of. */
@NullMarked
package io.epidote.engine.fuzz;

import org.jspecify.annotations.NullMarked;
