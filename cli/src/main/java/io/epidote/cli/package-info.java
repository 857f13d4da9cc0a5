/** The epidote command. */
@NullMarked
package io.epidote.cli;

import org.jspecify.annotations.NullMarked;
