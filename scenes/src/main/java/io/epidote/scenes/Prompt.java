package io.epidote.scenes;

import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;

/**
 * The text of a request and who should answer it.
 *
 * @param text the question
 * @param form of the answer; empty for the base's own questions, and for questions that nobody here
 *     is made for
 */
public record Prompt(String text, Optional<AnswerForm> form) {
  private static final List<List<String>> OTHER =
      List.of(
          List.of(
              "hello",
              "hi there",
              "thank you",
              "good morning",
              "what can you do?",
              "who are you?",
              "tell me a story.",
              "what is the weather today?",
              "write a poem about the sea.",
              "how old is the moon?",
              "please help me",
              "what time is it?",
              "is this a photo or a drawing?",
              "how bright is the ground?",
              "which shape is the largest?",
              "translate this word",
              "what do people do here?",
              "can you read the text in this image?",
              "give me a summary of the article.",
              "what does the sign say?",
              "how do i cook rice?",
              "why is the sky blue?",
              "explain the picture to a child.",
              "are there any animals in the image?",
              "show me the way to the station.",
              "list three capitals of europe."),
          List.of(
              "good evening",
              "thanks a lot",
              "hey",
              "what are you made for?",
              "sing a song.",
              "will it rain tomorrow?",
              "how far is the sun?",
              "i need help",
              "who took this photo?",
              "is the picture sharp?",
              "what is the smallest shape?",
              "read this page for me.",
              "how do i bake bread?",
              "where can i buy apples?",
              "is it day or night here?",
              "name a famous painter.",
              "does the image have a frame?",
              "what should i eat today?"));

  /**
   * A prompt of one split: wordings of the held-out split are in no training prompt. The base has
   * as large a share as each form; one in four of its prompts is of things that no answer is known
   * for.
   *
   * @param seed same seed and index, same prompt
   */
  public static Prompt of(Split split, long seed, int index) {
    SplittableRandom random = new SplittableRandom(seed * 1_000_003 + index);
    SceneGenerator generator =
        new SceneGenerator(split, split == Split.HELD_OUT, random.nextLong());
    int turn = index % (AnswerForm.values().length + 1);
    if (turn == AnswerForm.values().length) {
      List<String> others = OTHER.get(split.ordinal());
      if (random.nextInt(4) == 0) {
        return new Prompt(others.get(random.nextInt(others.size())), Optional.empty());
      }
      TaskKind kind = TaskKind.values()[random.nextInt(TaskKind.values().length)];
      return new Prompt(question(generator, kind), Optional.empty());
    }
    AnswerForm form = AnswerForm.values()[turn];
    FormQuestions questions = new FormQuestions(generator, split);
    TaskKind kind = form.kinds().get(random.nextInt(form.kinds().size()));
    while (true) {
      var asked =
          questions.ask(
              form, kind, generator.next(SceneGenerator.SMALL, SceneGenerator.SMALL), true);
      if (asked.isPresent()) {
        return new Prompt(asked.get().text(), Optional.of(form));
      }
    }
  }

  private static String question(SceneGenerator generator, TaskKind kind) {
    Questions questions = new Questions(generator);
    while (true) {
      Scene scene = generator.next(SceneGenerator.SMALL, SceneGenerator.SMALL);
      if (kind == TaskKind.WHICH) {
        return questions.which(scene, scene, generator.pair()).text();
      }
      var asked = questions.ask(kind, scene);
      if (asked.isPresent()) {
        return asked.get().text();
      }
    }
  }
}
