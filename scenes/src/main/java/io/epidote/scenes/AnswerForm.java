package io.epidote.scenes;

import java.util.List;
import java.util.Locale;

/**
 * Forms of answers that the base model does not give. Each has an adapter of its name, trained for
 * this form alone.
 */
public enum AnswerForm {
  /** The base's questions about one picture, answered in French. */
  FRENCH(
      TaskKind.DESCRIBE,
      TaskKind.COUNT,
      TaskKind.COLOR,
      TaskKind.SHAPE,
      TaskKind.EXISTS,
      TaskKind.WHERE),
  /** The same questions, answered with a JSON object or array. */
  JSON(
      TaskKind.DESCRIBE,
      TaskKind.COUNT,
      TaskKind.COLOR,
      TaskKind.SHAPE,
      TaskKind.EXISTS,
      TaskKind.WHERE),
  /** How many shapes there are of each color. */
  COLORS(TaskKind.COUNT),
  /** On which side of one shape another stands. */
  RELATIONS(TaskKind.WHERE),
  /** All shapes with their places. */
  PLACES(TaskKind.DESCRIBE);

  private final List<TaskKind> kinds;

  AnswerForm(TaskKind... kinds) {
    this.kinds = List.of(kinds);
  }

  /** What is asked for in this form; never {@link TaskKind#WHICH}. */
  public List<TaskKind> kinds() {
    return kinds;
  }

  /** The adapter's name, as in {@code scenes:french}. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }
}
