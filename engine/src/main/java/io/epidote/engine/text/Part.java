package io.epidote.engine.text;

/** A piece of a turn. */
public sealed interface Part {
  record Text(String text) implements Part {}

  /** The place of a picture; which one follows from the order. */
  record Image() implements Part {}
}
