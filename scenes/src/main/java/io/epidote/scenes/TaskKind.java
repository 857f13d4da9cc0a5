package io.epidote.scenes;

import java.util.Locale;

/** What a question asks for. */
public enum TaskKind {
  /** All shapes in reading order. */
  DESCRIBE,
  /** A number: of all shapes, of those of a color, of those of a kind. */
  COUNT,
  /** The color of the only shape of a kind, or of the shape at a place. */
  COLOR,
  /** The kind of the only shape of a color, or of the shape at a place. */
  SHAPE,
  /** Yes or no: whether a pair is there. */
  EXISTS,
  /** The place of a shape that is there once. */
  WHERE,
  /** Which of two pictures shows a pair. */
  WHICH;

  /** The lower-case word, as in the figure {@code exact_describe}. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }
}
