package io.epidote.scenes;

/**
 * The nine places of a picture, in reading order. A shape stands in exactly one, and no two share
 * one.
 */
public enum Cell {
  TOP_LEFT("top left", "at the top left"),
  TOP("top", "at the top"),
  TOP_RIGHT("top right", "at the top right"),
  LEFT("left", "on the left"),
  CENTER("center", "in the center"),
  RIGHT("right", "on the right"),
  BOTTOM_LEFT("bottom left", "at the bottom left"),
  BOTTOM("bottom", "at the bottom"),
  BOTTOM_RIGHT("bottom right", "at the bottom right");

  private final String words;
  private final String phrase;

  Cell(String words, String phrase) {
    this.words = words;
    this.phrase = phrase;
  }

  /** The answer to "where", for instance "top left". */
  public String words() {
    return words;
  }

  /** The place inside a sentence, for instance "at the top left". */
  public String phrase() {
    return phrase;
  }

  /** Row 0 (top) to 2. */
  public int row() {
    return ordinal() / 3;
  }

  /** Column 0 (left) to 2. */
  public int column() {
    return ordinal() % 3;
  }
}
