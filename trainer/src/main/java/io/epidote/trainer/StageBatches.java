package io.epidote.trainer;

import io.epidote.scenes.AnswerForm;
import io.epidote.scenes.FormQuestions;
import io.epidote.scenes.Pair;
import io.epidote.scenes.Question;
import io.epidote.scenes.Questions;
import io.epidote.scenes.Scene;
import io.epidote.scenes.SceneGenerator;
import io.epidote.scenes.Split;
import io.epidote.scenes.TaskKind;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/** Draws the batches of one stage of the curriculum. */
final class StageBatches implements Supplier<Batch> {
  /** Asked about each scene: those with many kinds of questions, or hard ones, more often. */
  private static final List<AnswerForm> FORMS =
      List.of(
          AnswerForm.FRENCH,
          AnswerForm.FRENCH,
          AnswerForm.FRENCH,
          AnswerForm.JSON,
          AnswerForm.JSON,
          AnswerForm.COLORS,
          AnswerForm.RELATIONS,
          AnswerForm.RELATIONS,
          AnswerForm.PLACES);

  private final ModelConfig config;
  private final Vocabulary vocabulary;
  private final Stage stage;
  private final SceneGenerator generator;
  private final Questions questions;
  private final FormQuestions formQuestions;
  private final SplittableRandom random;

  StageBatches(ModelConfig config, Vocabulary vocabulary, Stage stage, long seed) {
    this.config = config;
    this.vocabulary = vocabulary;
    this.stage = stage;
    this.generator = new SceneGenerator(Split.TRAINING, false, seed);
    this.questions = new Questions(generator);
    this.formQuestions = new FormQuestions(generator, Split.TRAINING);
    this.random = generator.random();
  }

  @Override
  public Batch get() {
    if (stage == Stage.TOWER) {
      return tower();
    }
    List<Sample> samples = new ArrayList<>();
    double form = random.nextDouble();
    if (form < stage.small) {
      for (int i = 0; i < 8; i++) {
        samples.add(single(SceneGenerator.SMALL, SceneGenerator.SMALL));
      }
    } else if (form < stage.small + stage.large) {
      for (int i = 0; i < 5; i++) {
        int shape = random.nextInt(10); // one in five is not square
        int width = shape == 0 ? SceneGenerator.SMALL : SceneGenerator.LARGE;
        int height = shape == 1 ? SceneGenerator.SMALL : SceneGenerator.LARGE;
        samples.add(single(width, height));
      }
    } else {
      for (int i = 0; i < 8; i++) {
        samples.add(which());
      }
    }
    return Batch.of(config, samples);
  }

  /**
   * Small pictures, and tiles and overviews of large ones, mixed: batch normalization must see them
   * together.
   */
  private Batch tower() {
    List<float[]> tiles = new ArrayList<>();
    List<float[]> labels = new ArrayList<>();
    while (tiles.size() < 32) {
      int form = random.nextInt(8);
      int width = form < 6 || form == 7 ? SceneGenerator.SMALL : SceneGenerator.LARGE;
      int height = form < 6 || form == 6 ? SceneGenerator.SMALL : SceneGenerator.LARGE;
      if (form == 5) {
        width = SceneGenerator.LARGE;
        height = SceneGenerator.LARGE;
      }
      Sample sample = Sample.of(List.of(generator.next(width, height)), List.of());
      tiles.addAll(sample.tiles());
      labels.addAll(sample.labels());
    }
    return Batch.tower(tiles.subList(0, 32), labels.subList(0, 32));
  }

  private List<TaskKind> kinds() {
    if (stage == Stage.FORMS) {
      return List.of(
          TaskKind.DESCRIBE,
          TaskKind.COUNT,
          any(List.of(TaskKind.COLOR, TaskKind.SHAPE, TaskKind.EXISTS, TaskKind.WHERE)));
    }
    if (stage != Stage.FINAL) {
      return List.of(
          TaskKind.DESCRIBE,
          TaskKind.COUNT,
          TaskKind.COLOR,
          TaskKind.SHAPE,
          TaskKind.EXISTS,
          TaskKind.EXISTS,
          TaskKind.WHERE);
    }
    return List.of(
        TaskKind.DESCRIBE,
        TaskKind.COUNT,
        TaskKind.COUNT,
        TaskKind.COUNT,
        TaskKind.COUNT,
        random.nextBoolean() ? TaskKind.COLOR : TaskKind.SHAPE,
        random.nextBoolean() ? TaskKind.EXISTS : TaskKind.WHERE);
  }

  private Sample single(int width, int height) {
    Scene scene = generator.next(width, height);
    List<Sample.Pair> pairs = new ArrayList<>();
    for (TaskKind kind : kinds()) {
      questions.ask(kind, scene).ifPresent(q -> pairs.add(pair(q)));
    }
    if (stage == Stage.FORMS) {
      forms(scene, pairs);
    }
    return Sample.of(List.of(scene), pairs);
  }

  /**
   * Questions in the words of some forms: answered in the form by its speaker, as ever by the
   * assistant.
   */
  private void forms(Scene scene, List<Sample.Pair> pairs) {
    for (AnswerForm form : FORMS) {
      formQuestions
          .ask(form, any(form.kinds()), scene)
          .ifPresent(
              q -> pairs.add(Sample.Pair.of(vocabulary, q, false, Vocabulary.speaker(form))));
    }
    AnswerForm form = any(FORMS);
    formQuestions.plain(form, any(form.kinds()), scene).ifPresent(q -> pairs.add(pair(q)));
  }

  /**
   * Two pictures that mostly share a pair, and a question for each of the four answers that they
   * allow.
   */
  private Sample which() {
    Scene first = generator.next(SceneGenerator.SMALL, SceneGenerator.SMALL);
    Pair shared = random.nextInt(5) > 0 ? any(first) : null;
    Pair other = any(first);
    Scene second =
        generator.next(
            SceneGenerator.SMALL,
            SceneGenerator.SMALL,
            shared,
            other.equals(shared) ? null : other);
    Pair[] asked = {shared == null ? any(second) : shared, other, any(second), generator.pair()};
    List<Sample.Pair> pairs = new ArrayList<>();
    for (Pair pair : asked) {
      pairs.add(pair(questions.which(first, second, pair)));
    }
    // Which picture comes first in the row must not tell anything.
    if (random.nextBoolean()) {
      pairs.clear();
      for (Pair pair : asked) {
        pairs.add(pair(questions.which(second, first, pair)));
      }
      return Sample.of(List.of(second, first), pairs);
    }
    return Sample.of(List.of(first, second), pairs);
  }

  private Pair any(Scene scene) {
    return any(scene.shapes()).pair();
  }

  private <T> T any(List<T> values) {
    return values.get(random.nextInt(values.size()));
  }

  private Sample.Pair pair(Question question) {
    return Sample.Pair.of(vocabulary, question, false);
  }
}
