/**
 * The page at the router's {@code /} and the JSON that it and {@code epidote top} are made of: the
 * cluster as it is, figures of the last minutes, the last requests' timelines. It only reads what
 * cluster, requests and role controller tell, and knows nothing of what was asked or answered.
 */
@NullMarked
package io.epidote.router.page;

import org.jspecify.annotations.NullMarked;
