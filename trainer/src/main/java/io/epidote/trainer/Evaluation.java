package io.epidote.trainer;

import static java.util.Comparator.comparingInt;

import io.epidote.scenes.AnswerForm;
import io.epidote.scenes.SceneSet;
import io.epidote.scenes.Task;
import io.epidote.scenes.TaskKind;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/** Held-out tasks, prepared once, and the share of exact answers. */
final class Evaluation {
  private final Map<String, List<Batch>> batches = new LinkedHashMap<>();

  private Evaluation(ModelConfig config, Map<String, List<Sample>> samples) {
    samples.forEach((name, list) -> {
      // Rows of like length together, so that little is padding.
      List<Sample> sorted = list.stream().sorted(comparingInt(Sample::length)).toList();
      List<Batch> rows = new ArrayList<>();
      for (int i = 0; i < sorted.size(); i += 20) {
        rows.add(Batch.of(config, sorted.subList(i, Math.min(i + 20, sorted.size()))));
      }
      batches.put(name, rows);
    });
  }

  /**
   * Tasks of the base, by kind.
   *
   * @param perKind tasks of each kind, and a quarter as many that all have withheld pairs
   * @param seed of {@link SceneSet#heldOut(long)}
   * @param shuffled whether each question is asked about the pictures of another task: the control
   *     that must fail
   */
  static Evaluation ofKinds(
      ModelConfig config,
      Vocabulary vocabulary,
      List<TaskKind> kinds,
      int perKind,
      long seed,
      boolean shuffled) {
    Map<String, List<Sample>> byKind = new LinkedHashMap<>();
    for (TaskKind kind : kinds) {
      List<Sample> samples = new ArrayList<>();
      for (int i = 0; i < perKind; i++) {
        samples.add(Sample.of(vocabulary, SceneSet.heldOut(seed, i, kind), false));
        if (i % 4 == 0) {
          samples.add(Sample.of(vocabulary, SceneSet.withheld(seed, i, kind), true));
        }
      }
      byKind.put(kind.word(), shuffled ? shuffled(samples) : samples);
    }
    return new Evaluation(config, byKind);
  }

  /**
   * Tasks of an adapter's own, by kind.
   *
   * @param count tasks of all kinds together
   * @param speaker who answers, as {@link Sample.Pair#of(Vocabulary, io.epidote.scenes.Question,
   *     boolean, int)} has it
   */
  static Evaluation ofForm(
      ModelConfig config,
      Vocabulary vocabulary,
      AnswerForm form,
      int speaker,
      int count,
      long seed,
      boolean shuffled) {
    Map<String, List<Sample>> byKind = new LinkedHashMap<>();
    for (int i = 0; i < count; i++) {
      Task task = SceneSet.heldOut(seed, i, form);
      byKind
          .computeIfAbsent(task.kind().word(), kind -> new ArrayList<>())
          .add(Sample.of(vocabulary, task, false, speaker));
    }
    if (shuffled) {
      byKind.replaceAll((kind, samples) -> shuffled(samples));
    }
    return new Evaluation(config, byKind);
  }

  private static List<Sample> shuffled(List<Sample> samples) {
    List<Sample> out = new ArrayList<>();
    for (int i = 0; i < samples.size(); i++) {
      out.add(samples.get(i).about(samples.get((i + 1) % samples.size())));
    }
    return out;
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

    Score plus(Score other) {
      return new Score(
          count + other.count,
          exact + other.exact,
          withheldCount + other.withheldCount,
          withheldExact + other.withheldExact);
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
  Map<String, Score> run(Function<Batch, long[]> predict) {
    Map<String, Score> scores = new LinkedHashMap<>();
    batches.forEach((name, list) -> {
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
      scores.put(name, new Score(count, exact, withheldCount, withheldExact));
    });
    return scores;
  }

  /** For instance "describe 97.5 (withheld 96.0) count 99.0 ...". */
  static String format(Map<String, Score> scores) {
    StringBuilder out = new StringBuilder();
    scores.forEach((name, score) ->
        out.append(
            String.format(
                Locale.ROOT,
                " %s %.1f (%.1f)",
                name,
                100 * score.accuracy(),
                100 * score.withheldAccuracy())));
    return out.substring(1);
  }
}
