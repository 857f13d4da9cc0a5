package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.Function;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
    name = "datapath",
    description = {
      "Measures what happens to media tokens and KV blocks between the stages, each line in clusters of its",
      "own: repeat (the same pictures again), sharding (pictures of one request over encode nodes), overlap",
      "(prefill while tiles are encoded), handoff (what is left to move when a long prompt's prefill ends),",
      "memory (an encode node's peak with many large pictures)."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {"  epidote bench datapath --json", "  epidote bench datapath --only sharding"})
final class BenchDatapathCommand implements Callable<Integer> {
  /** Rounds in which code is compiled and nodes learn their costs. */
  private static final int WARM_UP = 2;

  private static final Map<String, Function<Progress, DatapathLine>> LINES = lines();

  private static Map<String, Function<Progress, DatapathLine>> lines() {
    Map<String, Function<Progress, DatapathLine>> lines = new LinkedHashMap<>();
    lines.put("repeat", RepeatLine::new);
    lines.put("sharding", ShardingLine::new);
    lines.put("overlap", OverlapLine::new);
    lines.put("handoff", HandoffLine::new);
    lines.put("memory", MemoryLine::new);
    return lines;
  }

  @Option(
      names = "--rounds",
      paramLabel = "N",
      description = "Measurements of each figure. Default: ${DEFAULT-VALUE}.")
  private int rounds = 5;

  @Option(names = "--only", paramLabel = "LINE", description = "Measure this line alone.")
  private String only = "";

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Override
  public Integer call() {
    if (rounds < 1) {
      throw new InvalidRequest("--rounds must be at least 1");
    }
    if (!only.isEmpty() && !LINES.containsKey(only)) {
      throw new InvalidRequest(
          "'%s' is not a line; expected one of %s"
              .formatted(only, String.join(", ", LINES.keySet())));
    }
    Report report = new Report("bench datapath");
    LINES.forEach((name, line) -> {
      if (only.isEmpty() || only.equals(name)) {
        measure(line, report);
      }
    });
    if (json) {
      report.print(System.out);
    } else {
      report.printTable(System.out);
    }
    return 0;
  }

  private void measure(Function<Progress, DatapathLine> opening, Report report) {
    try (Progress progress = new Progress();
        DatapathLine line = opening.apply(progress)) {
      int last = line.isMeasuredOnce() ? 1 : rounds;
      for (int round = line.isMeasuredOnce() ? 0 : -WARM_UP; round < last; round++) {
        progress.update(
            round < 0
                ? line.name() + ": warming up"
                : "%s: round %d of %d".formatted(line.name(), round + 1, last));
        if (round == 0) {
          line.forget();
        }
        line.round();
      }
      line.report(report);
    }
  }
}
