package io.epidote.cli;

import io.epidote.cli.load.Answer;
import io.epidote.cli.load.LoadLevel;
import io.epidote.cli.load.LoadSession;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import org.HdrHistogram.Histogram;

/** The figures of a load, by name. */
final class ServeFigures {
  private ServeFigures() {}

  /**
   * Figures are those of the level with the highest goodput where it was looked for, else of the
   * last one; every level has a row. The first six are EfficientLLM's (Yuan et al., 2025): means
   * over requests, beside which stand rates by the clock.
   */
  static Report report(LoadSession session) {
    Report report = new Report("bench serve");
    LoadLevel level = session.chosen();
    report
        .figure("requests", level.answers().size())
        .figure("errors", level.answers().size() - level.whole().size());
    level
        .failures()
        .forEach((kind, count) ->
            report.figure("errors_" + kind.name().toLowerCase(Locale.ROOT), count));
    Double goodput = session.goodput();
    if (goodput != null) {
      report.figure("goodput_requests_s", Report.rounded(goodput));
    }
    if (!level.whole().isEmpty()) {
      efficiency(report, session, level);
      rates(report, level);
      times(level).forEach(report::figure);
      level
          .stages()
          .forEach((stage, means) ->
              report
                  .figure(stage + "_queue_ms", Report.rounded(means.queueMs()))
                  .figure(stage + "_compute_ms", Report.rounded(means.computeMs()))
                  .figure(stage + "_transfer_ms", Report.rounded(means.transferMs())));
      report.figure("sent_late_p99_ms", Report.rounded(level.lateMs()));
    }
    if (session.levels().size() > 1) {
      session.levels().forEach(each -> report.row(row(each)));
    }
    return report;
  }

  private static void efficiency(Report report, LoadSession session, LoadLevel level) {
    figure(report, "memory_use_mib", session.memoryMib());
    figure(report, "compute_use", session.computeUse());
    report
        .figure("latency_mean_ms", Report.rounded(level.e2e().getMean() / 1e3))
        .figure(
            "throughput_mean_tok_s",
            Report.rounded(
                level.whole().stream()
                    .mapToDouble(answer -> answer.tokens() / (answer.e2e() / 1e9))
                    .average()
                    .orElse(0)));
    figure(report, "power_w", session.watts());
    figure(report, "compression_rate", session.compressionRate());
  }

  private static void figure(Report report, String name, OptionalDouble value) {
    if (value.isPresent()) {
      report.figure(name, Report.rounded(value.getAsDouble()));
    } else {
      report.unavailable(name);
    }
  }

  private static void rates(Report report, LoadLevel level) {
    report
        .figure("input_tokens", level.inputTokens())
        .figure("output_tokens", level.outputTokens())
        .figure("requests_s", Report.rounded(level.requestsPerSecond()))
        .figure("output_tok_s", Report.rounded(level.outputTokens() / level.seconds()));
    if (level.slo().given()) {
      report
          .figure("slo_attainment", Report.rounded(level.attainment()))
          .figure("slo_attainment_ttft", Report.rounded(level.ttftAttainment()))
          .figure("slo_attainment_tpot", Report.rounded(level.tpotAttainment()));
    }
  }

  private static Map<String, Double> times(LoadLevel level) {
    Map<String, Double> times = new LinkedHashMap<>();
    Map<String, Histogram> histograms = new LinkedHashMap<>();
    histograms.put("ttft", level.ttft());
    histograms.put("tpot", level.tpot());
    histograms.put("itl", level.itl());
    histograms.put("e2e", level.e2e());
    histograms.forEach((name, micros) -> {
      for (int percent : List.of(50, 90, 99)) {
        times.put(
            "%s_p%d_ms".formatted(name, percent),
            Report.rounded(micros.getValueAtPercentile(percent) / 1e3));
      }
    });
    return times;
  }

  private static Map<String, Object> row(LoadLevel level) {
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("load", level.arrivals().toString());
    row.put("rate_requests_s", Report.rounded(level.rate()));
    row.put("requests", level.answers().size());
    row.put("errors", level.answers().stream().filter(answer -> !answer.whole()).count());
    level.answers().stream()
        .filter(answer -> !answer.whole())
        .findFirst()
        .map(Answer::message)
        .ifPresent(message -> row.put("first_error", message));
    row.put("requests_s", Report.rounded(level.requestsPerSecond()));
    row.put("output_tok_s", Report.rounded(level.outputTokens() / level.seconds()));
    row.put("slo_attainment", Report.rounded(level.attainment()));
    row.putAll(times(level));
    return row;
  }
}
