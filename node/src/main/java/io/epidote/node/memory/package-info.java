/** Where a process's resident memory is: what the system says of it, and what Epidote knows. */
@NullMarked
package io.epidote.node.memory;

import org.jspecify.annotations.NullMarked;
