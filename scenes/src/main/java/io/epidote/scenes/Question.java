package io.epidote.scenes;

/**
 * A question with the one right answer.
 *
 * @param kind what is asked for
 * @param text the question, lower case
 * @param answer the exact answer, lower case
 */
public record Question(TaskKind kind, String text, String answer) {
  /** The same in other words. */
  Question worded(String other) {
    return new Question(kind, other, answer);
  }
}
