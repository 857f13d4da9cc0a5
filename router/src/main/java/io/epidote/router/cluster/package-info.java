/**
 * Which nodes there are, what each of them last reported, and which of them a request is sent to.
 * Nodes come and go through the registration stream; readers see immutable snapshots.
 */
@NullMarked
package io.epidote.router.cluster;

import org.jspecify.annotations.NullMarked;
