package io.epidote.cli.load;

import io.epidote.cli.load.Answer.Failure;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;
import java.util.function.ToLongFunction;
import org.HdrHistogram.Histogram;

/** What the answers of one run add up to: one arrival process, one rate. Immutable. */
public final class LoadLevel {
  /** Microseconds up to an hour, three digits. */
  private static final long MOST_MICROS = 3_600_000_000L;

  private static final int DIGITS = 3;

  private final Arrivals arrivals;
  private final Slo slo;
  private final List<Answer> answers;
  private final List<Answer> whole;
  private final long started;
  private final long ended;
  private final Histogram ttft;
  private final Histogram tpot;
  private final Histogram itl = histogram();
  private final Histogram e2e;

  LoadLevel(Arrivals arrivals, Slo slo, List<Answer> answers, long started) {
    this.arrivals = arrivals;
    this.slo = slo;
    this.answers = answers.stream().sorted(Comparator.comparingLong(Answer::intended)).toList();
    this.whole = this.answers.stream().filter(Answer::whole).toList();
    this.started = started;
    this.ended = answers.stream().mapToLong(Answer::endedAt).max().orElse(started);
    this.ttft = of(Answer::ttft, _ -> true);
    this.tpot = of(Answer::tpot, answer -> answer.tokens() > 1);
    this.e2e = of(Answer::e2e, _ -> true);
    for (Answer answer : whole) {
      long[] texts = answer.texts();
      for (int i = 1; i < texts.length; i++) {
        itl.recordValue(micros(texts[i] - texts[i - 1]));
      }
    }
  }

  private static Histogram histogram() {
    return new Histogram(MOST_MICROS, DIGITS);
  }

  private static long micros(long nanos) {
    return Math.clamp(nanos / 1000, 0, MOST_MICROS);
  }

  private Histogram of(ToLongFunction<Answer> nanos, Predicate<Answer> counts) {
    Histogram histogram = histogram();
    whole.stream()
        .filter(counts)
        .forEach(answer -> histogram.recordValue(micros(nanos.applyAsLong(answer))));
    return histogram;
  }

  public Arrivals arrivals() {
    return arrivals;
  }

  public Slo slo() {
    return slo;
  }

  /** By their intended time. */
  public List<Answer> answers() {
    return answers;
  }

  public List<Answer> whole() {
    return whole;
  }

  /** When it began, {@link System#nanoTime}. */
  public long started() {
    return started;
  }

  public double seconds() {
    return Math.max(1e-9, (ended - started) / 1e9);
  }

  /** Time to first token, microseconds. */
  public Histogram ttft() {
    return ttft;
  }

  /** Time for each token after the first, a value for each answer, microseconds. */
  public Histogram tpot() {
    return tpot;
  }

  /** Time between pieces of text, microseconds. */
  public Histogram itl() {
    return itl;
  }

  /** Whole answers, microseconds. */
  public Histogram e2e() {
    return e2e;
  }

  /** Whole answers a second of the clock. */
  public double requestsPerSecond() {
    return whole.size() / seconds();
  }

  public long inputTokens() {
    return whole.stream().mapToLong(Answer::promptTokens).sum();
  }

  public long outputTokens() {
    return whole.stream().mapToLong(Answer::tokens).sum();
  }

  /** What share of all requests met both targets; one without an answer has met nothing. */
  public double attainment() {
    return share(slo::met);
  }

  public double ttftAttainment() {
    return share(slo::first);
  }

  public double tpotAttainment() {
    return share(slo::later);
  }

  private double share(Predicate<Answer> met) {
    return answers.isEmpty() ? 0 : answers.stream().filter(met).count() / (double) answers.size();
  }

  /** Requests a second that arrived: as they should, or as they did where clients waited. */
  public double rate() {
    return arrivals instanceof Arrivals.Open open && open.rate() > 0
        ? open.rate()
        : answers.size() / seconds();
  }

  /** How many failed in which way. */
  public Map<Failure, Integer> failures() {
    Map<Failure, Integer> kinds = new EnumMap<>(Failure.class);
    answers.forEach(
        answer -> answer.failure().ifPresent(kind -> kinds.merge(kind, 1, Integer::sum)));
    return kinds;
  }

  /** How late 99 % of requests left at most, milliseconds: what this machine could not keep up. */
  public double lateMs() {
    Histogram late = histogram();
    answers.forEach(answer -> late.recordValue(micros(answer.late())));
    return late.getValueAtPercentile(99) / 1e3;
  }

  /** Mean times of a stage over the answers that had it, milliseconds. */
  public record StageMeans(int answers, double queueMs, double computeMs, double transferMs) {}

  /** By stage, of answers that told a timeline. */
  public Map<String, StageMeans> stages() {
    Map<String, StageMeans> means = new LinkedHashMap<>();
    for (Stage stage : List.of(Stage.STAGE_ENCODE, Stage.STAGE_PREFILL, Stage.STAGE_DECODE)) {
      List<List<StageTiming>> told =
          whole.stream()
              .flatMap(answer -> answer.timeline().stream())
              .map(
                  line -> line.getStagesList().stream().filter(t -> t.getStage() == stage).toList())
              .filter(timings -> !timings.isEmpty())
              .toList();
      if (!told.isEmpty()) {
        means.put(
            stage.name().substring("STAGE_".length()).toLowerCase(Locale.ROOT),
            new StageMeans(
                told.size(),
                mean(told, StageTiming::getQueueMs),
                mean(told, StageTiming::getComputeMs),
                mean(told, StageTiming::getTransferMs)));
      }
    }
    return means;
  }

  /** Of tiles on several nodes, the longest counts: they were at work at the same time. */
  private static double mean(List<List<StageTiming>> told, ToDoubleFunction<StageTiming> ms) {
    return told.stream()
        .mapToDouble(timings -> timings.stream().mapToDouble(ms).max().orElse(0))
        .average()
        .orElse(0);
  }

  /** The answer at a percentile of time to first token. */
  public Optional<Answer> at(double percentile) {
    List<Answer> sorted = whole.stream().sorted(Comparator.comparingLong(Answer::ttft)).toList();
    return sorted.isEmpty()
        ? Optional.empty()
        : Optional.of(sorted.get((int) Math.round((sorted.size() - 1) * percentile / 100)));
  }
}
