package io.epidote.cli.chaos;

import io.epidote.cli.chaos.Attempt.End;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What every request of a run got, and what that adds up to. */
public final class ChaosFigures {
  private final ChaosRun.Outcome outcome;
  private final Map<Integer, Attempt> expected = new HashMap<>();

  public ChaosFigures(ChaosRun.Outcome outcome) {
    this.outcome = outcome;
    outcome.undisturbed().forEach(attempt -> expected.put(attempt.request().index(), attempt));
  }

  /** exact, wrong, failed, refused, cancelled or hung. */
  public String got(Attempt attempt) {
    return switch (attempt.how()) {
      case WHOLE -> difference(attempt).isEmpty() ? "exact" : "wrong";
      case REFUSED -> "refused";
      case FAILED -> "failed";
      case CANCELLED -> difference(attempt).isEmpty() ? "cancelled" : "wrong";
      case HUNG -> "hung";
    };
  }

  private String difference(Attempt attempt) {
    Attempt right = expected.get(attempt.request().index());
    if (right == null) {
      return "nothing is expected";
    }
    return attempt.how() == End.CANCELLED
        ? attempt.differenceSoFar(right)
        : attempt.difference(right);
  }

  private int count(String got) {
    return (int) outcome.attempts().stream().filter(each -> got(each).equals(got)).count();
  }

  /** By name: numbers of requests, and what faults added to exact answers. */
  public Map<String, Number> figures() {
    List<Attempt> attempts = outcome.attempts();
    Map<String, Number> figures = new LinkedHashMap<>();
    figures.put("requests", attempts.size());
    figures.put(
        "accepted",
        attempts.stream()
            .filter(each -> each.wasAccepted() || each.how() == End.WHOLE)
            .filter(each -> each.how() != End.CANCELLED)
            .count());
    figures.put("completed_exact", count("exact"));
    figures.put("wrong", count("wrong"));
    figures.put("failed", count("failed"));
    figures.put("refused", count("refused"));
    figures.put("hung", count("hung"));
    figures.put("cancelled", count("cancelled"));
    figures.put("recovered", attempts.stream().filter(this::recovered).count());
    List<Double> added = added();
    figures.put("added_latency_p50_ms", percentile(added, 50));
    figures.put("added_latency_p99_ms", percentile(added, 99));
    figures.put("added_latency_max_ms", percentile(added, 100));
    figures.put(
        "faults",
        outcome.faults().stream()
            .filter(each -> each.note().isEmpty() || !each.note().startsWith("not done"))
            .count());
    figures.putAll(outcome.memory().figures());
    return figures;
  }

  private boolean recovered(Attempt attempt) {
    return got(attempt).equals("exact")
        && (attempt.repeatedStage()
            || outcome.faults().stream().anyMatch(fault -> fault.hit(attempt)));
  }

  private List<Double> added() {
    return outcome.attempts().stream()
        .filter(each -> got(each).equals("exact"))
        .map(each -> {
          Attempt before = expected.get(each.request().index());
          return millis(each) - (before == null ? 0 : millis(before));
        })
        .sorted(Comparator.naturalOrder())
        .toList();
  }

  private static double millis(Attempt attempt) {
    return (attempt.endedAt() - attempt.due()) / 1e6;
  }

  /** Of sorted values; 0 of none. */
  private static double percentile(List<Double> sorted, int percent) {
    return sorted.isEmpty() ? 0 : sorted.get((int) Math.ceil(percent / 100.0 * sorted.size()) - 1);
  }

  /**
   * A row for each fault, for each request that did not end exactly, and for each process that ran
   * all the time, with what it held.
   */
  public List<Map<String, Object>> rows() {
    List<Map<String, Object>> rows = new ArrayList<>();
    outcome.faults().stream()
        .sorted(Comparator.comparingLong(FaultRecord::at))
        .forEach(fault -> {
          Map<String, Object> row = new LinkedHashMap<>();
          row.put("fault", fault.fault().kind().word());
          row.put("at_s", Math.round(fault.seconds() * 100) / 100.0);
          row.put("target", fault.fault().who());
          row.put("at_work", fault.atWork());
          row.put("undone_after_s", Math.round(fault.lasted() * 100) / 100.0);
          if (!fault.note().isEmpty()) {
            row.put("note", fault.note());
          }
          rows.add(row);
        });
    long start = outcome.attempts().stream().mapToLong(Attempt::due).min().orElse(0);
    for (Attempt attempt : outcome.attempts()) {
      String got = got(attempt);
      if (!got.equals("exact") && !got.equals("cancelled")) {
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("request", attempt.id());
        row.put("got", got);
        row.put("accepted", attempt.wasAccepted());
        row.put("over", attempt.request().http() ? "http" : "grpc");
        row.put("pictures", attempt.request().pictures().size());
        row.put("sent_s", Math.round((attempt.due() - start) / 1e7) / 100.0);
        row.put("ended_s", Math.round((attempt.endedAt() - start) / 1e7) / 100.0);
        row.put("tokens", attempt.tokens());
        row.put("of_tokens", attempt.request().sampling().getMaxTokens());
        row.put("error", got.equals("wrong") ? difference(attempt) : attempt.error());
        rows.add(row);
      }
    }
    outcome.memory().rows().forEach(rows::add);
    return rows;
  }
}
