package io.epidote.trainer;

import java.util.Locale;

/** The steps of the curriculum, with the shares of the forms of batches: [small, large, which]. */
enum Stage {
  /** The tower alone, on the auxiliary task. */
  TOWER(0, 0, 0),
  /** The whole model on pictures of one tile. */
  SMALL(1, 0, 0),
  /** Pictures of several tiles join in. */
  TILES(0.55, 0.45, 0),
  /** Questions about two pictures join in. */
  MIXED(0.26, 0.4, 0.34),
  /** The same, with more of what is learned last: counting, and describing four shapes. */
  FINAL(0.5, 0.3, 0.2),
  /** Answers in the forms of adapters join in, told apart by {@link Vocabulary#speaker}. */
  FORMS(0.55, 0.3, 0.15);

  final double small;
  final double large;
  final double which;

  Stage(double small, double large, double which) {
    this.small = small;
    this.large = large;
    this.which = which;
  }

  static Stage parse(String name) {
    return valueOf(name.toUpperCase(Locale.ROOT));
  }
}
