package io.epidote.cli.top;

/** A line of a screen that is never wider than it: what does not fit is cut. */
final class Line {
  private static final String RESET = "\u001b[0m";

  /** How a text looks. */
  enum Style {
    PLAIN(""),
    BOLD("\u001b[1m"),
    DIM("\u001b[2m"),
    BAD("\u001b[31m");

    private final String code;

    Style(String code) {
      this.code = code;
    }
  }

  private final int width;
  private final boolean styled;
  private final StringBuilder text = new StringBuilder();
  private int used;

  /**
   * @param width columns
   * @param styled whether the terminal knows bold and colors
   */
  Line(int width, boolean styled) {
    this.width = width;
    this.styled = styled;
  }

  Line add(String more) {
    return add(Style.PLAIN, more);
  }

  Line add(Style style, String more) {
    String fits = more.length() > width - used ? more.substring(0, width - used) : more;
    used += fits.length();
    if (styled && style != Style.PLAIN && !fits.isEmpty()) {
      text.append(style.code).append(fits).append(RESET);
    } else {
      text.append(fits);
    }
    return this;
  }

  /** A column: padded, or cut, to so many characters, and a space behind it. */
  Line left(int columns, String more) {
    return left(Style.PLAIN, columns, more);
  }

  Line left(Style style, int columns, String more) {
    return add(style, cut(more, columns) + " ".repeat(Math.max(0, columns - more.length()) + 1));
  }

  /** The same, with its text at the right. */
  Line right(int columns, String more) {
    return right(Style.PLAIN, columns, more);
  }

  Line right(Style style, int columns, String more) {
    return add(style, " ".repeat(Math.max(0, columns - more.length())) + cut(more, columns) + " ");
  }

  /** Columns that are left. */
  int left() {
    return width - used;
  }

  private static String cut(String text, int columns) {
    return text.length() <= columns ? text : text.substring(0, Math.max(0, columns - 1)) + "~";
  }

  @Override
  public String toString() {
    return text.toString();
  }
}
