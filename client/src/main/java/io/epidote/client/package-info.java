/**
 * A client of Epidote for Java programs, over the public gRPC contract: questions with pictures,
 * answers whole or piece by piece, cancel, and where the time went. It knows the contract and
 * nothing else of Epidote.
 */
@NullMarked
package io.epidote.client;

import org.jspecify.annotations.NullMarked;
