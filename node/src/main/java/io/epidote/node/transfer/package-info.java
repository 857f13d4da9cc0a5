/**
 * Bulk data between nodes: the service that streams the bytes behind a handle, and the client that
 * pulls them straight into blocks. Pulled by the consumer, checksummed, with bounds on every wait.
 * The only package that touches gRPC's internals, for the connections ({@link
 * io.epidote.node.transfer.BulkTransport}) and the way a chunk goes into them.
 */
@NullMarked
package io.epidote.node.transfer;

import org.jspecify.annotations.NullMarked;
