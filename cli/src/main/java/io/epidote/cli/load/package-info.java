/**
 * The load tester: workloads, when their requests arrive, clients that send them over HTTP or gRPC,
 * and what is learned from the answers. It knows servers by their public contracts only, so that it
 * measures this one and others alike. It may touch Netty, gRPC stubs and HdrHistogram, and nothing
 * of the router or of nodes.
 */
@NullMarked
package io.epidote.cli.load;

import org.jspecify.annotations.NullMarked;
