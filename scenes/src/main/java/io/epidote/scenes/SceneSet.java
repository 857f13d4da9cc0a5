package io.epidote.scenes;

import java.awt.image.BufferedImage;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Endless, seeded streams of tasks. Task number i of a seed is always the same, whatever was taken
 * before it.
 */
public final class SceneSet {
  private SceneSet() {}

  /**
   * Tasks on layouts that training never saw, with the pairs that training withheld at their
   * natural rate. The kinds take turns, so that any number of tasks is spread evenly over them.
   */
  public static Stream<Task> heldOut(long seed) {
    return inTurns(seed, SceneSet::heldOut);
  }

  /** Task number {@code index} of one kind of {@link #heldOut(long)}'s making. */
  public static Task heldOut(long seed, int index, TaskKind kind) {
    return task(new SceneGenerator(Split.HELD_OUT, true, stream(seed, index)), kind);
  }

  /**
   * Held-out tasks that all have a pair which training withheld ({@link Pair#WITHHELD}), in a
   * picture or in the question: they measure whether the model composes color and kind.
   */
  public static Stream<Task> withheld(long seed) {
    return inTurns(seed, SceneSet::withheld);
  }

  /** Task number {@code index} of one kind of {@link #withheld(long)}'s making. */
  public static Task withheld(long seed, int index, TaskKind kind) {
    SceneGenerator generator = new SceneGenerator(Split.HELD_OUT, true, ~stream(seed, index));
    Task task = task(generator, kind);
    while (!task.hasWithheldPair()) {
      task = task(generator, kind);
    }
    return task;
  }

  /**
   * Task number {@code index} of an adapter's own: a layout that training never saw, asked about in
   * a wording that training never used. The form's kinds take turns.
   */
  public static Task heldOut(long seed, int index, AnswerForm form) {
    SceneGenerator generator =
        new SceneGenerator(
            Split.HELD_OUT, true, stream(seed, index) ^ ((form.ordinal() + 1L) << 56));
    FormQuestions questions = new FormQuestions(generator, Split.HELD_OUT);
    TaskKind kind = form.kinds().get(index % form.kinds().size());
    return ofOneScene(generator, scene -> questions.ask(form, kind, scene));
  }

  private interface Source {
    Task task(long seed, int index, TaskKind kind);
  }

  private static Stream<Task> inTurns(long seed, Source source) {
    TaskKind[] kinds = TaskKind.values();
    return IntStream.iterate(0, i -> i + 1)
        .mapToObj(i -> source.task(seed, i, kinds[i % kinds.length]));
  }

  /** The upper bits keep these streams away from the small seeds that training uses. */
  private static long stream(long seed, int index) {
    return (seed << 32) ^ (index * 0x2545F4914F6CDD1DL) ^ 0x6865_6C64_0000_0000L;
  }

  /** One task of a kind, drawn by a generator. */
  public static Task task(SceneGenerator generator, TaskKind kind) {
    Questions questions = new Questions(generator);
    if (kind == TaskKind.WHICH) {
      Pair pair = generator.pair();
      int shown = generator.random().nextInt(4); // none, first, second, both: equally often
      Scene first = whichScene(generator, pair, (shown & 1) != 0);
      Scene second = whichScene(generator, pair, (shown & 2) != 0);
      return task(List.of(first, second), questions.which(first, second, pair));
    }
    return ofOneScene(generator, scene -> questions.ask(kind, scene));
  }

  private static Task ofOneScene(
      SceneGenerator generator, Function<Scene, Optional<Question>> asked) {
    while (true) {
      // 13 in 20 fit one tile, six are large squares, one is wide or tall.
      int form = generator.random().nextInt(40);
      int width = form < 26 || form == 38 ? SceneGenerator.SMALL : SceneGenerator.LARGE;
      int height = form < 26 || form == 39 ? SceneGenerator.SMALL : SceneGenerator.LARGE;
      Scene scene = generator.next(width, height);
      Optional<Question> question = asked.apply(scene);
      if (question.isPresent()) {
        return task(List.of(scene), question.get());
      }
    }
  }

  private static Scene whichScene(SceneGenerator generator, Pair pair, boolean shown) {
    return generator.next(
        SceneGenerator.SMALL, SceneGenerator.SMALL, shown ? pair : null, shown ? null : pair);
  }

  private static Task task(List<Scene> scenes, Question question) {
    List<BufferedImage> pictures = scenes.stream().map(Scene::draw).toList();
    return new Task(question.kind(), scenes, pictures, question.text(), question.answer());
  }
}
