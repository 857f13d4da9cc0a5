package io.epidote.trainer;

import io.epidote.scenes.AnswerForm;
import io.epidote.scenes.FormQuestions;
import io.epidote.scenes.Questions;
import io.epidote.scenes.Scene;
import io.epidote.scenes.SceneGenerator;
import io.epidote.scenes.Split;
import io.epidote.scenes.TaskKind;
import io.epidote.trainer.Safetensors.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Spreads the embedding rows of words that the base never met. Training only ever pushed them away
 * from its answers, all in one direction, until they were nearly the same vector (norm 3.0, of
 * which 0.4 tells them apart): an adapter, for which they are frozen, could neither say them apart
 * nor read back what it had said. Rows of words that the base uses stay bit for bit as they are,
 * and so do its hidden states and the logits of all its words.
 */
final class SpareRows {
  private static final String EMBEDDING = "model.text_model.embed_tokens.weight";

  /** Length along the common direction, which keeps these words below the base's own. */
  private static final double COMMON = 1;

  /** Length in a random direction of each row's own: about the norm of the base's words. */
  private static final double OWN = 1;

  private static final long SEED = 11;

  /** Scenes whose questions and answers have all words that training has. */
  private static final int DRAWN = 2000;

  private SpareRows() {}

  /** Rewrites model.safetensors of a folder. */
  static void spread(Path folder) throws IOException {
    Path file = folder.resolve("model.safetensors");
    Map<String, Tensor> tensors = new LinkedHashMap<>(Safetensors.read(file));
    Tensor embedding = tensors.get(EMBEDDING);
    if (embedding == null) {
      throw new IOException(file + " has no " + EMBEDDING);
    }
    tensors.put(EMBEDDING, spread(embedding));
    Safetensors.write(file, tensors);
  }

  private static Tensor spread(Tensor embedding) {
    int width = Math.toIntExact(embedding.shape()[1]);
    Set<Integer> met = met();
    double[] common = new double[width];
    for (int id = 0; id < Vocabulary.SIZE; id++) {
      for (int i = 0; i < width && !met.contains(id); i++) {
        common[i] += embedding.data()[id * width + i];
      }
    }
    normalise(common, COMMON);
    float[] data = embedding.data().clone();
    Random random = new Random(SEED);
    for (int id = 0; id < Vocabulary.SIZE; id++) {
      double[] own = random.doubles(width, -1, 1).toArray();
      normalise(own, OWN);
      for (int i = 0; i < width && !met.contains(id); i++) {
        data[id * width + i] = (float) (common[i] + own[i]);
      }
    }
    return new Tensor(embedding.shape(), data);
  }

  /** Ids that the base's training had in its rows. */
  static Set<Integer> met() {
    Vocabulary vocabulary = new Vocabulary();
    Set<Integer> met =
        new HashSet<>(
            Set.of(
                Vocabulary.USER,
                Vocabulary.ASSISTANT,
                Vocabulary.END,
                Vocabulary.FAKE,
                Vocabulary.GLOBAL,
                Vocabulary.NEWLINE));
    for (int row = 1; row <= 2; row++) {
      for (int column = 1; column <= 2; column++) {
        met.add(Vocabulary.tile(row, column));
      }
    }
    SceneGenerator generator = new SceneGenerator(Split.TRAINING, true, SEED);
    Questions questions = new Questions(generator);
    FormQuestions forms = new FormQuestions(generator, Split.TRAINING);
    Questions.words().forEach(word -> met.add(vocabulary.id(Vocabulary.START + word)));
    for (int i = 0; i < DRAWN; i++) {
      Scene scene = generator.next(SceneGenerator.SMALL, SceneGenerator.SMALL);
      for (AnswerForm form : AnswerForm.values()) {
        TaskKind kind = form.kinds().get(i % form.kinds().size());
        Stream.of(
                questions.ask(kind, scene),
                forms.ask(form, kind, scene, true),
                forms.plain(form, kind, scene))
            .flatMap(Optional::stream)
            .flatMap(question -> Stream.of(question.text(), question.answer()))
            .flatMapToInt(text -> Arrays.stream(vocabulary.encode(text)))
            .forEach(met::add);
      }
    }
    return met;
  }

  private static void normalise(double[] vector, double length) {
    double sum = 0;
    for (double value : vector) {
      sum += value * value;
    }
    double factor = length / Math.sqrt(sum);
    for (int i = 0; i < vector.length; i++) {
      vector[i] *= factor;
    }
  }
}
