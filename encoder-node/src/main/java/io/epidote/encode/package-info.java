/**
 * The encode stage: media items in, leased media tokens out. Images are decoded on virtual threads,
 * tiles are encoded in batches on the engine thread.
 */
@NullMarked
package io.epidote.encode;

import org.jspecify.annotations.NullMarked;
