/** The encode stage: media items in, handles on media tokens out. */
@NullMarked
package io.epidote.encode;

import org.jspecify.annotations.NullMarked;
