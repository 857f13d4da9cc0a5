package io.epidote.engine.text;

/** A piece of a turn. */
public sealed interface Part {
  /** What stands in a rendered conversation where a video goes. */
  String VIDEO = "<video>";

  record Text(String text) implements Part {}

  /** The place of a picture; which one follows from the order. */
  record Image() implements Part {}

  /** The place of a video, likewise. */
  record Video() implements Part {}
}
