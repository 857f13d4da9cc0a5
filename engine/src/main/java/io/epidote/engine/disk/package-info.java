/** How files that several processes share come onto disk. Knows nothing of what is in them. */
@NullMarked
package io.epidote.engine.disk;

import org.jspecify.annotations.NullMarked;
