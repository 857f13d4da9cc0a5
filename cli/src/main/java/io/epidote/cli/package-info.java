/**
 * The {@code epidote} command: starts routers and nodes, in processes of their own or in one, and
 * talks to them as a client does.
 */
@NullMarked
package io.epidote.cli;

import org.jspecify.annotations.NullMarked;
