/**
 * The cluster in a terminal, from the JSON that the router's page is made of: it is read over HTTP,
 * drawn as lines of text, and kept on a terminal's screen.
 */
@NullMarked
package io.epidote.cli.top;

import org.jspecify.annotations.NullMarked;
