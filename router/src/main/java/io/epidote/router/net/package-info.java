/** What the router's servers and channels have in common. */
@NullMarked
package io.epidote.router.net;

import org.jspecify.annotations.NullMarked;
