package io.epidote.cli;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.RandomAdapter;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.Models;
import io.epidote.engine.model.Precision;
import io.epidote.engine.model.RuntimeOptions;
import io.epidote.engine.tier.AdapterTiers;
import io.epidote.engine.tier.TierBudget;
import io.epidote.engine.tier.TierPolicy;
import io.epidote.engine.tier.UseProbability;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Option;

/** A trace over more adapters than are hot, with the node's policy and with plain LRU. */
final class AdapterTrace {
  private static final String SHAPE = "moe-128x4x8";
  private static final int ADAPTERS = 100;
  private static final int EXPERTS = 2;
  private static final List<Integer> RESIDENT = List.of(25, 50, 75);

  @Option(
      names = "--trace-requests",
      paramLabel = "N",
      description = "Requests of the trace; the first two fifths are not counted. Default: 12000.")
  private int requests = 12000;

  @Option(
      names = "--trace-rate",
      paramLabel = "N",
      description = "Requests of the trace in a second. Default: 400.")
  private double rate = 400;

  @Option(
      names = "--trace-read",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description =
          "What reading one of the trace's small adapters is made to take: as one of moe-576x12x16 takes from a disk. Default: 16ms.")
  private Duration read = Duration.ofMillis(16);

  @Option(
      names = "--adapter-wait-cap",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description = "As a node's. Default: 2s.")
  private Duration waitCap = AdapterTiers.DEFAULT_WAIT_CAP;

  void run(int threads, Precision precision, Report report, Progress progress) {
    Path model = Home.modelOrShape(SHAPE, progress);
    List<Path> folders = new ArrayList<>();
    try (Checkpoint checkpoint = Checkpoint.open(model)) {
      for (int i = 0; i < ADAPTERS; i++) {
        progress.update("adapter %d of %d".formatted(i + 1, ADAPTERS));
        folders.add(
            RandomAdapter.folder(
                Home.cache().resolve("adapters-of-shapes"), checkpoint, EXPERTS, i));
      }
      AdapterTraceBench bench = new AdapterTraceBench(folders, requests, rate);
      Models models =
          new Models(checkpoint, new RuntimeOptions(threads, precision, Home.cache(), true));
      double longest = 0;
      for (int resident : RESIDENT) {
        AdapterTraceBench.Result lru =
            run(models, folders, bench, resident, new ArrivalOrderLru(), progress);
        AdapterTraceBench.Result tiers =
            run(models, folders, bench, resident, new UseProbability(waitCap), progress);
        report.figure(
            "switches_over_lru_" + resident,
            Report.rounded((double) tiers.switches() / lru.switches()));
        report.figure("p99_over_lru_" + resident, Report.rounded(tiers.p99Ms() / lru.p99Ms()));
        report.row(row("lru", resident, lru)).row(row("tiers", resident, tiers));
        longest = Math.max(longest, tiers.longestWaitMs());
      }
      report.figure("max_wait_over_cap", Report.rounded(longest / waitCap.toMillis()));
    }
  }

  private AdapterTraceBench.Result run(
      Models models,
      List<Path> folders,
      AdapterTraceBench bench,
      int resident,
      TierPolicy policy,
      Progress progress) {
    try (Decoder decoder = models.openDecoder()) {
      AdapterTiers tiers = decoder.adapters().tiers();
      progress.update("packing adapters");
      folders.forEach(folder -> decoder.adapters().check("any", folder, false));
      decoder.adapters().load("first", folders.getFirst(), false);
      long slots = decoder.adapters().list().getFirst().slots();
      long bytes = decoder.adapters().list().getFirst().bytes();
      decoder.adapters().unload("first");
      long rateOfReads = bytes * 1000 / read.toMillis();
      tiers.bound(
          new TierBudget(slots * ADAPTERS * resident / 100, Long.MAX_VALUE, 0, rateOfReads),
          policy);
      return bench.run(decoder, progress);
    }
  }

  private static Map<String, Object> row(
      String policy, int resident, AdapterTraceBench.Result result) {
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("policy", policy);
    row.put("resident_percent", resident);
    row.put("switches", result.switches());
    row.put("reads", result.reads());
    row.put("waiting_share", Report.rounded(result.waitShare()));
    row.put("p50_ms", Report.rounded(result.p50Ms()));
    row.put("p99_ms", Report.rounded(result.p99Ms()));
    row.put("longest_wait_ms", Report.rounded(result.longestWaitMs()));
    row.put("seconds", Report.rounded(result.seconds()));
    return row;
  }
}
