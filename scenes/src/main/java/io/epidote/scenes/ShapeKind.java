package io.epidote.scenes;

import java.util.Locale;

/** The five kinds of shapes. */
public enum ShapeKind {
  CIRCLE,
  SQUARE,
  TRIANGLE,
  CROSS,
  RING;

  /** The lower-case English word. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** The plural of {@link #word()}. */
  public String plural() {
    return this == CROSS ? "crosses" : word() + "s";
  }
}
