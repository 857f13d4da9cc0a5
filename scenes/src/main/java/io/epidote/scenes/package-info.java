/**
 * Pictures of colored shapes with questions and exact answers: what {@code models/scenes} is
 * trained on and what {@code epidote eval scenes} asks. Pure Java 2D, no network, no model;
 * everything follows from a seed.
 */
@NullMarked
package io.epidote.scenes;

import org.jspecify.annotations.NullMarked;
