package io.epidote.scenes;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class FormQuestionsTest {
  private static final String NAMES =
      "red|green|blue|yellow|purple|orange|circles?|squares?|triangles?|cross(es)?|rings?"
          + "|top|bottom|left|right|center|an?";

  @ParameterizedTest
  @EnumSource(AnswerForm.class)
  void aSeedAlwaysGivesTheSameTask(AnswerForm form) {
    for (int i = 0; i < 20; i++) {
      Task once = SceneSet.heldOut(3, i, form);
      Task again = SceneSet.heldOut(3, i, form);
      assertThat(again.question()).isEqualTo(once.question());
      assertThat(again.answer()).isEqualTo(once.answer());
      assertThat(again.scenes()).isEqualTo(once.scenes());
      assertThat(once.scenes()).allMatch(scene -> Split.of(scene) == Split.HELD_OUT);
    }
  }

  @ParameterizedTest
  @EnumSource(AnswerForm.class)
  void noWordingOfAHeldOutPromptIsInTraining(AnswerForm form) {
    Set<String> trained = wordings(Split.TRAINING, form, 20_000);
    Set<String> heldOut = wordings(Split.HELD_OUT, form, 2_000);
    assertThat(trained).isNotEmpty().doesNotContainAnyElementsOf(heldOut);
    assertThat(heldOut).hasSizeGreaterThan(4);
  }

  @Test
  void trainingNeverNamesWithheldPairs() {
    SceneGenerator generator = new SceneGenerator(Split.TRAINING, false, 8);
    FormQuestions questions = new FormQuestions(generator, Split.TRAINING);
    for (int i = 0; i < 2_000; i++) {
      AnswerForm form = AnswerForm.values()[i % AnswerForm.values().length];
      Scene scene = generator.next(64, 64);
      questions
          .ask(form, form.kinds().getFirst(), scene)
          .ifPresent(q ->
              assertThat(Pair.WITHHELD)
                  .noneMatch(p -> q.text().contains(p.words()) || q.answer().contains(p.words())));
    }
  }

  @Test
  void frenchAnswersSayWhatEnglishOnesDo() {
    for (int i = 0; i < 300; i++) {
      Task task = SceneSet.heldOut(4, i, AnswerForm.FRENCH);
      List<PlacedShape> shapes = task.scenes().getFirst().shapes();
      if (task.kind() == TaskKind.DESCRIBE) {
        assertThat(task.answer().split(", ")).hasSameSizeAs(shapes);
        String english =
            task.answer()
                .replaceAll("un cercle ([a-z]+)", "$1 circle")
                .replaceAll("un carré ([a-z]+)", "$1 square")
                .replaceAll("un triangle ([a-z]+)", "$1 triangle")
                .replaceAll("une croix ([a-z]+)", "$1 cross")
                .replaceAll("un anneau ([a-z]+)", "$1 ring")
                .replaceAll("rouge", "red")
                .replaceAll("verte?", "green")
                .replaceAll("bleue?", "blue")
                .replaceAll("jaune", "yellow")
                .replaceAll("violet(te)?", "purple");
        assertThat(english)
            .isEqualTo(
                shapes.stream().map(s -> s.pair().words()).collect(Collectors.joining(", ")));
        if (task.answer().contains("croix ver") || task.answer().contains("croix bl")) {
          assertThat(task.answer()).containsPattern("croix (verte|bleue)");
        }
      }
    }
  }

  @Test
  void colorsAreCountedInReadingOrder() {
    for (int i = 0; i < 300; i++) {
      Task task = SceneSet.heldOut(5, i, AnswerForm.COLORS);
      List<PlacedShape> shapes = task.scenes().getFirst().shapes();
      int total = 0;
      Set<String> seen = new HashSet<>();
      for (String part : task.answer().split(", ")) {
        String[] words = part.split(" ");
        int count = Integer.parseInt(words[1]);
        assertThat(shapes.stream().filter(s -> s.color().word().equals(words[0]))).hasSize(count);
        assertThat(seen.add(words[0])).isTrue();
        total += count;
      }
      assertThat(total).isEqualTo(shapes.size());
      assertThat(task.answer()).startsWith(shapes.getFirst().color().word());
    }
  }

  @Test
  void relationsAreOfTheFirstNamedToTheOther() {
    for (int i = 0; i < 300; i++) {
      Task task = SceneSet.heldOut(6, i, AnswerForm.RELATIONS);
      List<PlacedShape> named =
          task.scenes().getFirst().shapes().stream()
              .filter(s -> task.question().contains("the " + s.pair().words()))
              .toList();
      assertThat(named).as(task.question()).hasSize(2);
      // The one after "relative to", "seen from" and the like is where one looks from.
      boolean firstIsSubject =
          task.question()
              .matches(
                  ".*\\b(is|see|does|of) the "
                      + named.getFirst().pair().words()
                      + "\\b.*|tell me where the "
                      + named.getFirst().pair().words()
                      + " is.*|.*tell me where the "
                      + named.getFirst().pair().words()
                      + " is.*");
      PlacedShape subject = named.get(firstIsSubject ? 0 : 1);
      PlacedShape other = named.get(firstIsSubject ? 1 : 0);
      assertThat(task.answer().contains("top"))
          .isEqualTo(subject.cell().row() < other.cell().row());
      assertThat(task.answer().contains("bottom"))
          .isEqualTo(subject.cell().row() > other.cell().row());
      assertThat(task.answer().contains("left"))
          .isEqualTo(subject.cell().column() < other.cell().column());
      assertThat(task.answer().contains("right"))
          .isEqualTo(subject.cell().column() > other.cell().column());
    }
  }

  @Test
  void promptsTakeTurnsOverTheBaseAndAllForms() {
    int labels = AnswerForm.values().length + 1;
    List<Prompt> prompts =
        IntStream.range(0, 10 * labels).mapToObj(i -> Prompt.of(Split.HELD_OUT, 1, i)).toList();
    assertThat(prompts.stream().filter(p -> p.form().isEmpty())).hasSize(10);
    for (AnswerForm form : AnswerForm.values()) {
      assertThat(prompts.stream().filter(p -> p.form().equals(java.util.Optional.of(form))))
          .hasSize(10);
    }
  }

  /** Prompts without what differs from scene to scene. */
  private static Set<String> wordings(Split split, AnswerForm form, int count) {
    SceneGenerator generator = new SceneGenerator(split, false, 12);
    FormQuestions questions = new FormQuestions(generator, split);
    return IntStream.range(0, count)
        .mapToObj(i ->
            questions.ask(
                form, form.kinds().get(i % form.kinds().size()), generator.next(64, 64), true))
        .flatMap(java.util.Optional::stream)
        .map(q -> Arrays.stream(q.text().split(" ")).filter(w -> !w.matches(NAMES)))
        .map(words -> words.collect(Collectors.joining(" ")))
        .collect(Collectors.toSet());
  }
}
