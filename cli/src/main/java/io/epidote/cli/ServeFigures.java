package io.epidote.cli;

import io.epidote.cli.AnswerStream.Timing;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;

/** What a load of requests adds up to. Safe for use by many threads. */
final class ServeFigures {
  private final List<Timing> answers = new ArrayList<>();
  private int errors;

  synchronized void add(Timing answer) {
    answers.add(answer);
  }

  synchronized void addError() {
    errors++;
  }

  synchronized int errors() {
    return errors;
  }

  /**
   * The figures of all answers. Tokens a second are those of answers that came whole, over the time
   * from the first request to the last answer's end; the time of an output token is that from an
   * answer's first text to its last over the tokens after the first.
   */
  synchronized Report report() {
    Report report =
        new Report("bench serve")
            .figure("requests", answers.size() + errors)
            .figure("errors", errors);
    if (answers.isEmpty()) {
      return report;
    }
    long from = answers.stream().mapToLong(Timing::started).min().orElseThrow();
    long to = answers.stream().mapToLong(Timing::ended).max().orElseThrow();
    long input = answers.stream().mapToLong(Timing::promptTokens).sum();
    long output = answers.stream().mapToLong(Timing::tokens).sum();
    report
        .figure("input_tokens", input)
        .figure("output_tokens", output)
        .figure("output_tok_s", Report.rounded(output / ((to - from) / 1e9)));
    percentiles(report, "ttft", t -> (t.firstText() - t.started()) / 1e6, 50, 90, 99);
    percentiles(
        report,
        "tpot",
        t -> (t.lastText() - t.firstText()) / 1e6 / Math.max(1, t.tokens() - 1),
        50,
        90);
    percentiles(report, "e2e", t -> (t.ended() - t.started()) / 1e6, 50);
    return report;
  }

  private void percentiles(
      Report report, String name, ToDoubleFunction<Timing> millis, int... percents) {
    double[] sorted = answers.stream().mapToDouble(millis).sorted().toArray();
    for (int percent : percents) {
      // Nearest rank: a time that some request really had.
      int rank = Math.ceilDiv(sorted.length * percent, 100);
      report.figure("%s_p%d_ms".formatted(name, percent), Report.rounded(sorted[rank - 1]));
    }
  }
}
