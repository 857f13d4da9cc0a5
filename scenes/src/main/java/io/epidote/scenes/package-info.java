/**
 * Pictures of coloured shapes with questions and answers: what models/scenes is trained and
 * evaluated on.
 */
@NullMarked
package io.epidote.scenes;

import org.jspecify.annotations.NullMarked;
