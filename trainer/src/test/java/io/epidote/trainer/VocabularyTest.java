package io.epidote.trainer;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import io.epidote.scenes.AnswerForm;
import io.epidote.scenes.Cell;
import io.epidote.scenes.Pair;
import io.epidote.scenes.SceneSet;
import io.epidote.scenes.ShapeColor;
import io.epidote.scenes.ShapeKind;
import io.epidote.scenes.Task;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class VocabularyTest {
  private static final Vocabulary VOCABULARY = new Vocabulary();
  private static HuggingFaceTokenizer tokenizer;

  @BeforeAll
  static void open() throws IOException {
    tokenizer = HuggingFaceTokenizer.newInstance(Path.of("../models/scenes/tokenizer.json"));
  }

  @AfterAll
  static void close() {
    tokenizer.close();
  }

  @Test
  void theShippedTokenizerAgreesOnEveryQuestionAndAnswer() {
    List<Task> tasks = SceneSet.heldOut(21).limit(1_400).toList();
    for (Task task : tasks) {
      for (String text : List.of(task.question(), task.answer())) {
        assertThat(VOCABULARY.encode(text)).as(text).isEqualTo(ids(text));
        assertThat(VOCABULARY.encode(text)).as(text).doesNotContain(Vocabulary.UNK);
        assertThat(tokenizer.decode(longs(text), true)).isEqualTo(text);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(AnswerForm.class)
  void theShippedTokenizerHasTheWordsOfEveryForm(AnswerForm form) {
    for (int i = 0; i < 300; i++) {
      Task task = SceneSet.heldOut(22, i, form);
      for (String text : List.of(task.question(), task.answer())) {
        assertThat(VOCABULARY.encode(text)).as(text).isEqualTo(ids(text));
      }
      assertThat(VOCABULARY.encode(task.answer())).doesNotContain(Vocabulary.UNK);
      assertThat(tokenizer.decode(longs(task.answer()), true)).isEqualTo(task.answer());
    }
  }

  @Test
  void theWholeLanguageOfAnswersRoundTrips() {
    List<String> answers =
        new ArrayList<>(List.of("yes", "no", "both", "none", "picture 1", "picture 2"));
    Arrays.stream(Cell.values()).map(Cell::words).forEach(answers::add);
    for (int count = 0; count <= 4; count++) {
      answers.add(Integer.toString(count));
    }
    String previous = "a red circle";
    for (ShapeColor color : ShapeColor.values()) {
      for (ShapeKind kind : ShapeKind.values()) {
        Pair pair = new Pair(color, kind);
        answers.add(color.word());
        answers.add(kind.word());
        answers.add(pair.withArticle());
        answers.add(previous + ", " + pair.withArticle());
        previous = pair.withArticle();
      }
    }
    for (String answer : answers) {
      assertThat(tokenizer.decode(longs(answer), true)).isEqualTo(answer);
      assertThat(VOCABULARY.encode(answer)).isEqualTo(ids(answer));
    }
  }

  @Test
  void wordsOfAdaptersAreThere() {
    for (String text :
        List.of(
            "{\"color\": \"red\", \"place\": \"top left\"}",
            "{\"shapes\": 3}",
            "il y a un cercle rouge en haut à gauche",
            "un carré bleu, une croix verte")) {
      assertThat(VOCABULARY.encode(text)).as(text).doesNotContain(Vocabulary.UNK);
      assertThat(VOCABULARY.encode(text)).as(text).isEqualTo(ids(text));
      assertThat(tokenizer.decode(longs(text), true)).isEqualTo(text);
    }
  }

  @Test
  void specialTokensAreOneTokenEach() {
    Encoding prompt =
        tokenizer.encode(
            "<|user|><fake_token_around_image><row_2_col_1><image>\n\n<global-img>Where is it?"
                + "<end_of_utterance><|assistant|>",
            false,
            false);
    assertThat(prompt.getIds())
        .startsWith(
            Vocabulary.USER,
            Vocabulary.FAKE,
            Vocabulary.tile(2, 1),
            Vocabulary.IMAGE,
            Vocabulary.NEWLINE,
            Vocabulary.NEWLINE,
            Vocabulary.GLOBAL)
        .endsWith(Vocabulary.END, Vocabulary.ASSISTANT);
  }

  private static long[] longs(String text) {
    return tokenizer.encode(text, false, false).getIds();
  }

  private static int[] ids(String text) {
    return Arrays.stream(longs(text)).mapToInt(Math::toIntExact).toArray();
  }
}
