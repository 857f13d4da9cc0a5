/**
 * The errors that a caller can be told about: one sealed family, mapped once to gRPC statuses (in
 * the node module) and once to HTTP (in the router). Messages say what was wrong, what was expected
 * and what to do.
 */
@NullMarked
package io.epidote.engine.error;

import org.jspecify.annotations.NullMarked;
