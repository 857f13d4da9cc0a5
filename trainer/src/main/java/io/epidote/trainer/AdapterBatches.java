package io.epidote.trainer;

import io.epidote.scenes.AnswerForm;
import io.epidote.scenes.FormQuestions;
import io.epidote.scenes.Scene;
import io.epidote.scenes.SceneGenerator;
import io.epidote.scenes.Split;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * Draws the training data of one adapter: scenes and wordings of the training split alone. Scenes
 * come again, each time with other questions: the tower is frozen, so that a picture has to be
 * drawn and encoded only once.
 */
final class AdapterBatches implements Supplier<AdapterBatches.Prepared> {
  /**
   * A batch with its pictures encoded.
   *
   * @param batch without tiles
   * @param media [media tokens, hidden]
   */
  record Prepared(Batch batch, float[] media) {}

  private record Encoded(Scene scene, int[] prefix, float[] media) {}

  /** Scenes that are kept; until there are so many every scene is new. */
  private static final int SMALL_KEPT = 20_000;

  private static final int LARGE_KEPT = 6_000;

  /** Three batches in ten are of large pictures, as in the tasks. */
  private static final double LARGE = 0.3;

  /** Tokens of questions and answers per row: with fewer the pictures would cost more than them. */
  private static final int ROW_TOKENS = 100;

  private final ModelConfig config;
  private final Vocabulary vocabulary;
  private final AnswerForm form;
  private final SceneGenerator generator;
  private final FormQuestions questions;
  private final SplittableRandom random;
  private final Function<Sample, float[]> encoder;
  private final List<Encoded> small = new ArrayList<>();
  private final List<Encoded> large = new ArrayList<>();

  /**
   * Batches from a seed.
   *
   * @param encoder gives the media tokens of a sample
   */
  AdapterBatches(
      ModelConfig config,
      Vocabulary vocabulary,
      AnswerForm form,
      long seed,
      Function<Sample, float[]> encoder) {
    this.config = config;
    this.vocabulary = vocabulary;
    this.form = form;
    this.generator = new SceneGenerator(Split.TRAINING, false, seed);
    this.questions = new FormQuestions(generator, Split.TRAINING);
    this.random = generator.random();
    this.encoder = encoder;
  }

  @Override
  public Prepared get() {
    boolean isLarge = random.nextDouble() < LARGE;
    return batch(isLarge, isLarge ? 5 : 8);
  }

  /** A batch of one row. */
  Prepared row() {
    return batch(random.nextDouble() < LARGE, 1);
  }

  private Prepared batch(boolean isLarge, int rows) {
    List<Sample> samples = new ArrayList<>();
    List<float[]> media = new ArrayList<>();
    while (samples.size() < rows) {
      Encoded encoded = scene(isLarge);
      List<Sample.Pair> pairs = pairs(encoded.scene());
      if (!pairs.isEmpty()) {
        samples.add(new Sample(List.of(), List.of(), pairs, encoded.prefix()));
        media.add(encoded.media());
      }
    }
    return new Prepared(Batch.of(config, samples), Batch.flat(media));
  }

  private Encoded scene(boolean isLarge) {
    List<Encoded> kept = isLarge ? large : small;
    if (kept.size() == (isLarge ? LARGE_KEPT : SMALL_KEPT)) {
      return kept.get(random.nextInt(kept.size()));
    }
    int shape = random.nextInt(10); // one large picture in five is not square
    int width = isLarge && shape != 0 ? SceneGenerator.LARGE : SceneGenerator.SMALL;
    int height = isLarge && shape != 1 ? SceneGenerator.LARGE : SceneGenerator.SMALL;
    Scene scene = generator.next(width, height);
    Sample sample = Sample.of(List.of(scene), List.of());
    Encoded encoded = new Encoded(scene, sample.prefix(), encoder.apply(sample));
    kept.add(encoded);
    return encoded;
  }

  /** As many questions as fit a row; none when this scene has no target for any. */
  private List<Sample.Pair> pairs(Scene scene) {
    List<Sample.Pair> pairs = new ArrayList<>();
    int kinds = form.kinds().size();
    int first = random.nextInt(kinds);
    int tokens = 0;
    int refused = 0;
    for (int i = first; tokens < ROW_TOKENS && refused < 20; i++) {
      var asked = questions.ask(form, form.kinds().get(i % kinds), scene);
      if (asked.isPresent()) {
        Sample.Pair pair = Sample.Pair.of(vocabulary, asked.get(), false);
        pairs.add(pair);
        tokens += pair.ids().length;
      } else {
        refused++;
      }
    }
    return pairs;
  }
}
