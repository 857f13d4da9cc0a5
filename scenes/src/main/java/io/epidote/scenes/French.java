package io.epidote.scenes;

import java.util.stream.Collectors;

/** The answers of the base in French: lower case, colors agreeing with their shapes. */
final class French {
  private static final String[] NUMBERS = {"zéro", "un", "deux", "trois", "quatre"};

  private French() {}

  /** The answer to the question in French. */
  static String answer(Question question, Scene scene) {
    String english = question.answer();
    return switch (question.kind()) {
      case DESCRIBE ->
          scene.shapes().stream()
              .map(s -> noun(s.kind()) + " " + color(s.color(), feminine(s.kind())))
              .collect(Collectors.joining(", "));
      case COUNT -> NUMBERS[Integer.parseInt(english)];
      case COLOR -> color(ShapeColor.valueOf(upper(english)), false);
      case SHAPE -> noun(ShapeKind.valueOf(upper(english)));
      case EXISTS -> english.equals("yes") ? "oui" : "non";
      case WHERE -> place(Cell.valueOf(upper(english)));
      case WHICH -> throw new IllegalArgumentException("adapters are not asked about two pictures");
    };
  }

  private static String upper(String words) {
    return words.replace(' ', '_').toUpperCase(java.util.Locale.ROOT);
  }

  private static boolean feminine(ShapeKind kind) {
    return kind == ShapeKind.CROSS;
  }

  private static String noun(ShapeKind kind) {
    return switch (kind) {
      case CIRCLE -> "un cercle";
      case SQUARE -> "un carré";
      case TRIANGLE -> "un triangle";
      case CROSS -> "une croix";
      case RING -> "un anneau";
    };
  }

  private static String color(ShapeColor color, boolean feminine) {
    return switch (color) {
      case RED -> "rouge";
      case GREEN -> feminine ? "verte" : "vert";
      case BLUE -> feminine ? "bleue" : "bleu";
      case YELLOW -> "jaune";
      case PURPLE -> feminine ? "violette" : "violet";
      case ORANGE -> "orange";
    };
  }

  private static String place(Cell cell) {
    return switch (cell) {
      case TOP_LEFT -> "en haut à gauche";
      case TOP -> "en haut";
      case TOP_RIGHT -> "en haut à droite";
      case LEFT -> "à gauche";
      case CENTER -> "au centre";
      case RIGHT -> "à droite";
      case BOTTOM_LEFT -> "en bas à gauche";
      case BOTTOM -> "en bas";
      case BOTTOM_RIGHT -> "en bas à droite";
    };
  }
}
