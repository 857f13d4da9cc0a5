package io.epidote.trainer;

import io.epidote.scenes.Question;
import io.epidote.scenes.Scene;
import io.epidote.scenes.Task;
import io.epidote.scenes.TaskKind;
import java.util.ArrayList;
import java.util.List;

/**
 * The pictures of one row and the questions about them. Every question reads as if it were asked
 * alone: it sees the pictures and itself, and its positions follow the pictures'.
 *
 * @param tilings one per picture
 * @param labels auxiliary labels per tile, over all pictures
 * @param pairs questions with answers
 * @param prefix ids of the user's turn up to the question, {@link Vocabulary#IMAGE} per media token
 */
record Sample(List<Tiling> tilings, List<float[]> labels, List<Pair> pairs, int[] prefix) {
  /**
   * A question and its answer as token ids.
   *
   * @param kind what is asked for
   * @param withheld whether it is counted among the tasks with withheld pairs
   * @param ids question, end, assistant, answer, end
   * @param answerFrom index in ids of the first answer token
   */
  record Pair(TaskKind kind, boolean withheld, int[] ids, int answerFrom) {
    static Pair of(Vocabulary vocabulary, Question question, boolean withheld) {
      return of(vocabulary, question, withheld, Vocabulary.ASSISTANT);
    }

    /**
     * A question that somebody in particular answers.
     *
     * @param speaker {@link Vocabulary#ASSISTANT} or {@link Vocabulary#speaker}
     */
    static Pair of(Vocabulary vocabulary, Question question, boolean withheld, int speaker) {
      int[] asked = vocabulary.encode(question.text());
      int[] answer = vocabulary.encode(question.answer());
      int[] ids = new int[asked.length + answer.length + 3];
      System.arraycopy(asked, 0, ids, 0, asked.length);
      ids[asked.length] = Vocabulary.END;
      ids[asked.length + 1] = speaker;
      System.arraycopy(answer, 0, ids, asked.length + 2, answer.length);
      ids[ids.length - 1] = Vocabulary.END;
      return new Pair(question.kind(), withheld, ids, asked.length + 2);
    }
  }

  static Sample of(List<Scene> scenes, List<Pair> pairs) {
    List<Tiling> tilings = new ArrayList<>();
    List<float[]> labels = new ArrayList<>();
    List<Integer> prefix = new ArrayList<>();
    prefix.add(Vocabulary.USER);
    for (Scene scene : scenes) {
      Tiling tiling = Tiling.of(scene.draw());
      tilings.add(tiling);
      labels.addAll(Labels.of(scene, tiling));
      prefix.addAll(tiling.expansion());
    }
    return new Sample(
        tilings, labels, pairs, prefix.stream().mapToInt(Integer::intValue).toArray());
  }

  /**
   * One task as a row of its own.
   *
   * @param withheld whether it is counted among the tasks with withheld pairs
   */
  static Sample of(Vocabulary vocabulary, Task task, boolean withheld) {
    return of(vocabulary, task, withheld, Vocabulary.ASSISTANT);
  }

  /** One task, answered by {@code speaker}, as a row of its own. */
  static Sample of(Vocabulary vocabulary, Task task, boolean withheld, int speaker) {
    Question question = new Question(task.kind(), task.question(), task.answer());
    return of(task.scenes(), List.of(Pair.of(vocabulary, question, withheld, speaker)));
  }

  /** The same questions about the pictures of another sample. */
  Sample about(Sample other) {
    return new Sample(other.tilings, other.labels, pairs, other.prefix);
  }

  int length() {
    return prefix.length + pairs.stream().mapToInt(p -> p.ids().length).sum();
  }

  List<float[]> tiles() {
    return tilings.stream().flatMap(t -> t.tiles().stream()).toList();
  }
}
