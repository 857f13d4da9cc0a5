/** The front door: OpenAI HTTP and gRPC, admission, placement, membership. */
@NullMarked
package io.epidote.router;

import org.jspecify.annotations.NullMarked;
