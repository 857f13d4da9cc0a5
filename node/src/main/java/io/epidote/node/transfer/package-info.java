/**
 * Bulk data between nodes: the service that streams the bytes behind a handle, and the client that
 * pulls them straight into blocks. Pulled by the consumer, checksummed, with bounds on every wait.
 */
@NullMarked
package io.epidote.node.transfer;

import org.jspecify.annotations.NullMarked;
