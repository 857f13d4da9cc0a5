package io.epidote.trainer;

import io.epidote.scenes.SceneSet;
import io.epidote.scenes.TaskKind;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/** Held-out tasks, prepared once, and the share of exact answers. */
final class Evaluation {
  private final Map<TaskKind, List<Batch>> batches = new EnumMap<>(TaskKind.class);

  /**
   * Prepares tasks.
   *
   * @param perKind tasks of each kind, and a quarter as many that all have withheld pairs
   * @param seed of {@link SceneSet#heldOut(long)}
   * @param shuffled whether each question is asked about the pictures of another task: the control
   *     that must fail
   */
  Evaluation(
      ModelConfig config,
      Vocabulary vocabulary,
      List<TaskKind> kinds,
      int perKind,
      long seed,
      boolean shuffled) {
    for (TaskKind kind : kinds) {
      List<Sample> samples = new ArrayList<>();
      for (int i = 0; i < perKind; i++) {
        samples.add(Sample.of(vocabulary, SceneSet.heldOut(seed, i, kind), false));
        if (i % 4 == 0) {
          samples.add(Sample.of(vocabulary, SceneSet.withheld(seed, i, kind), true));
        }
      }
      if (shuffled) {
        List<Sample> original = List.copyOf(samples);
        for (int i = 0; i < original.size(); i++) {
          samples.set(i, original.get(i).about(original.get((i + 1) % original.size())));
        }
      }
      // Rows of like length together, so that little is padding.
      samples.sort(java.util.Comparator.comparingInt(Sample::length));
      List<Batch> list = new ArrayList<>();
      for (int i = 0; i < samples.size(); i += 20) {
        list.add(Batch.of(config, samples.subList(i, Math.min(i + 20, samples.size()))));
      }
      batches.put(kind, list);
    }
  }

  /**
   * Exact answers.
   *
   * @param count tasks of the held-out split
   * @param exact those answered exactly
   * @param withheldCount tasks that all have a pair which training withheld
   * @param withheldExact those of them answered exactly
   */
  record Score(int count, int exact, int withheldCount, int withheldExact) {
    double accuracy() {
      return exact / (double) Math.max(1, count);
    }

    double withheldAccuracy() {
      return withheldExact / (double) Math.max(1, withheldCount);
    }
  }

  /**
   * Asks everything.
   *
   * @param predict the most likely token at every selected position of a batch
   */
  Map<TaskKind, Score> run(Function<Batch, long[]> predict) {
    Map<TaskKind, Score> scores = new LinkedHashMap<>();
    batches.forEach((kind, list) -> {
      int count = 0;
      int exact = 0;
      int withheldCount = 0;
      int withheldExact = 0;
      for (Batch batch : list) {
        long[] predicted = predict.apply(batch);
        boolean[] wrong = new boolean[batch.pairs().size()];
        for (int i = 0; i < predicted.length; i++) {
          wrong[batch.pairOf()[i]] |= predicted[i] != batch.targets()[i];
        }
        for (int i = 0; i < wrong.length; i++) {
          int right = wrong[i] ? 0 : 1;
          if (batch.pairs().get(i).withheld()) {
            withheldCount++;
            withheldExact += right;
          } else {
            count++;
            exact += right;
          }
        }
      }
      scores.put(kind, new Score(count, exact, withheldCount, withheldExact));
    });
    return scores;
  }

  /** For instance "describe 97.5 (withheld 96.0) count 99.0 ...". */
  static String format(Map<TaskKind, Score> scores) {
    StringBuilder out = new StringBuilder();
    scores.forEach((kind, score) ->
        out.append(
            String.format(
                Locale.ROOT,
                " %s %.1f (%.1f)",
                kind.word(),
                100 * score.accuracy(),
                100 * score.withheldAccuracy())));
    return out.substring(1);
  }
}
