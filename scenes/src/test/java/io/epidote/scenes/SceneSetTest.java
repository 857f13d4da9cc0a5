package io.epidote.scenes;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.awt.image.BufferedImage;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class SceneSetTest {
  @Test
  void aSeedAlwaysGivesTheSamePixelsQuestionsAndAnswers() {
    List<Task> once = SceneSet.heldOut(7).limit(70).toList();
    List<Task> again = SceneSet.heldOut(7).limit(70).toList();
    for (int i = 0; i < once.size(); i++) {
      Task a = once.get(i);
      Task b = again.get(i);
      assertThat(b.question()).isEqualTo(a.question());
      assertThat(b.answer()).isEqualTo(a.answer());
      assertThat(b.scenes()).isEqualTo(a.scenes());
      for (int p = 0; p < a.pictures().size(); p++) {
        assertThat(pixels(b.pictures().get(p))).isEqualTo(pixels(a.pictures().get(p)));
      }
    }
  }

  @Test
  void neighbouringSeedsAndIndexesGiveOtherScenes() {
    Set<List<Scene>> scenes = new HashSet<>();
    for (long seed = 0; seed < 20; seed++) {
      SceneSet.heldOut(seed).limit(70).forEach(task -> scenes.add(task.scenes()));
    }
    assertThat(scenes).hasSize(20 * 70);
  }

  @Test
  void kindsTakeTurnsAndOnlyWhichHasTwoPictures() {
    List<Task> tasks = SceneSet.heldOut(3).limit(21).toList();
    for (int i = 0; i < tasks.size(); i++) {
      Task task = tasks.get(i);
      assertThat(task.kind()).isEqualTo(TaskKind.values()[i % 7]);
      assertThat(task.pictures()).hasSize(task.kind() == TaskKind.WHICH ? 2 : 1);
    }
  }

  @Test
  void noHeldOutLayoutIsEverTrained() {
    SceneGenerator training = new SceneGenerator(Split.TRAINING, false, 1);
    Set<String> trained =
        IntStream.range(0, 20_000)
            .mapToObj(i -> training.next(64, 64).layout())
            .collect(Collectors.toSet());
    Set<String> heldOut =
        SceneSet.heldOut(1)
            .limit(700)
            .flatMap(t -> t.scenes().stream())
            .map(Scene::layout)
            .collect(Collectors.toSet());
    assertThat(trained).doesNotContainAnyElementsOf(heldOut);
    // Single shapes are few: without the split by layout the two would overlap.
    assertThat(trained).anyMatch(layout -> !layout.contains(" "));
    assertThat(heldOut).anyMatch(layout -> !layout.contains(" "));
  }

  @Test
  void trainingWithholdsItsPairsAndHeldOutTasksHaveThem() {
    SceneGenerator training = new SceneGenerator(Split.TRAINING, false, 2);
    for (int i = 0; i < 1_400; i++) {
      Task task = SceneSet.task(training, TaskKind.values()[i % 7]);
      assertThat(task.hasWithheldPair()).as(task.question()).isFalse();
    }
    long natural = SceneSet.heldOut(2).limit(700).filter(Task::hasWithheldPair).count();
    assertThat(natural).isBetween(70L, 210L);
    assertThat(SceneSet.withheld(2).limit(140)).allMatch(Task::hasWithheldPair);
  }

  @Test
  void everyAnswerFollowsFromTheScene() {
    Stream.concat(SceneSet.heldOut(11).limit(2_100), SceneSet.withheld(11).limit(210))
        .forEach(task ->
            assertThat(answer(task))
                .as("%s about %s", task.question(), task.scenes())
                .isEqualTo(task.answer()));
  }

  @Test
  void yesAndNoAndTheFourAnswersOfWhichAreBalanced() {
    Map<String, Long> exists = answers(TaskKind.EXISTS);
    assertThat(exists.get("yes")).isBetween(400L, 600L);
    assertThat(exists.get("no")).isBetween(400L, 600L);
    Map<String, Long> which = answers(TaskKind.WHICH);
    assertThat(which).containsOnlyKeys("picture 1", "picture 2", "both", "none");
    assertThat(which.values()).allSatisfy(count -> assertThat(count).isBetween(190L, 310L));
  }

  @Test
  void everyWordIsInTheVocabulary() {
    Set<String> words = new HashSet<>(Questions.words());
    SceneSet.heldOut(5)
        .limit(2_100)
        .flatMap(t -> Stream.of(t.question(), t.answer()))
        .flatMap(text -> Arrays.stream(text.replaceAll("[.,?]", "").split(" ")))
        .forEach(word -> assertThat(words).contains(word));
  }

  @Test
  void shapesStayInsideThePictureAndTheirCells() {
    SceneGenerator generator = new SceneGenerator(Split.HELD_OUT, true, 4);
    for (int i = 0; i < 500; i++) {
      int width = i % 2 == 0 ? 64 : 128;
      int height = i % 3 == 0 ? 64 : 128;
      Scene scene = generator.next(width, height);
      assertThat(scene.shapes()).hasSizeBetween(1, SceneGenerator.MAX_SHAPES);
      for (PlacedShape shape : scene.shapes()) {
        assertThat((int) (shape.x() * 3 / width)).isEqualTo(shape.cell().column());
        assertThat((int) (shape.y() * 3 / height)).isEqualTo(shape.cell().row());
        double half = shape.size() / 2;
        assertThat(shape.x()).isBetween(half, width - half);
        assertThat(shape.y()).isBetween(half, height - half);
      }
    }
  }

  @Test
  void theCenterOfAFilledShapeHasItsColor() {
    SceneGenerator generator = new SceneGenerator(Split.HELD_OUT, true, 9);
    for (int i = 0; i < 200; i++) {
      Scene scene = generator.next(64, 64);
      BufferedImage picture = scene.draw();
      for (PlacedShape shape : scene.shapes()) {
        if (shape.kind() != ShapeKind.RING) {
          int rgb = picture.getRGB((int) shape.x(), (int) shape.y());
          assertThat(nearest(rgb)).isEqualTo(shape.color());
        }
      }
    }
  }

  @Test
  void twoShapesInOneCellAreRefused() {
    PlacedShape shape =
        new PlacedShape(
            new Pair(ShapeColor.RED, ShapeKind.CIRCLE), Cell.TOP, 32, 10, 15, 0, 0xFF0000);
    Ground ground = new Ground(90, 90, 90, 0, 0, 0, 0);
    assertThatThrownBy(() -> new Scene(64, 64, List.of(shape, shape), ground))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("share a cell");
  }

  /** The answer, worked out from the words of the question alone. */
  private static String answer(Task task) {
    Scene scene = task.scenes().getFirst();
    String question = task.question();
    ShapeColor color = named(question, ShapeColor.values(), ShapeColor::word);
    ShapeKind kind = named(question, ShapeKind.values(), ShapeKind::word);
    Cell cell =
        Arrays.stream(Cell.values())
            .filter(c -> question.matches(".*" + c.phrase() + "[ ?]?"))
            .findFirst()
            .orElse(null);
    Predicate<PlacedShape> meant =
        s ->
            (color == null || s.color() == color)
                && (kind == null || s.kind() == kind)
                && (cell == null || s.cell() == cell);
    List<PlacedShape> found = scene.shapes().stream().filter(meant).toList();
    return switch (task.kind()) {
      case DESCRIBE ->
          scene.shapes().stream()
              .map(s ->
                  (s.color() == ShapeColor.ORANGE ? "an " : "a ")
                      + s.color().word()
                      + " "
                      + s.kind().word())
              .collect(Collectors.joining(", "));
      case COUNT -> Integer.toString(found.size());
      case EXISTS -> found.isEmpty() ? "no" : "yes";
      case COLOR -> only(found).color().word();
      case SHAPE -> only(found).kind().word();
      case WHERE -> only(found).cell().words();
      case WHICH -> {
        boolean one = !found.isEmpty();
        boolean two = task.scenes().get(1).shapes().stream().anyMatch(meant);
        yield one ? (two ? "both" : "picture 1") : two ? "picture 2" : "none";
      }
    };
  }

  private static PlacedShape only(List<PlacedShape> found) {
    assertThat(found).hasSize(1);
    return found.getFirst();
  }

  private static <T> @Nullable T named(String question, T[] values, Function<T, String> word) {
    return Arrays.stream(values)
        .filter(v -> question.matches(".*\\b" + word.apply(v) + "(s|es)?\\b.*"))
        .findFirst()
        .orElse(null);
  }

  private static Map<String, Long> answers(TaskKind kind) {
    return IntStream.range(0, 1_000)
        .mapToObj(i -> SceneSet.heldOut(6, i, kind).answer())
        .collect(Collectors.groupingBy(a -> a.toLowerCase(Locale.ROOT), Collectors.counting()));
  }

  private static ShapeColor nearest(int rgb) {
    return Arrays.stream(ShapeColor.values())
        .min((a, b) -> Integer.compare(distance(a.rgb(), rgb), distance(b.rgb(), rgb)))
        .orElseThrow();
  }

  private static int distance(int a, int b) {
    int sum = 0;
    for (int shift = 0; shift <= 16; shift += 8) {
      int d = (a >> shift & 255) - (b >> shift & 255);
      sum += d * d;
    }
    return sum;
  }

  private static int[] pixels(BufferedImage picture) {
    return picture.getRGB(
        0, 0, picture.getWidth(), picture.getHeight(), null, 0, picture.getWidth());
  }
}
