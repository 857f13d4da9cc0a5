/** Which node has which stages: what is decided about it, why, and how it is done. */
@NullMarked
package io.epidote.router.roles;

import org.jspecify.annotations.NullMarked;
