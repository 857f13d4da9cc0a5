package io.epidote.cli;

import io.epidote.cli.CompareSide.Layout;
import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.router.cluster.Sharding;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * The same devices as one kind of node, as two and as three. The sides take turns with the same
 * requests, one at a time.
 */
@Command(
    name = "compare",
    description = {
      "Compares ways to use a number of emulated devices: aggregated (every device does everything), pd",
      "(one decodes, the others encode and prefill) and epd (one prefills, one decodes, the others encode).",
      "Requests of 2, 4, 6 and 8 pictures of 4032x3024, and of cases in which epd should lose, one at a time, the",
      "sides taking turns; then requests of 4 pictures at rising rates, of which at least 90 %% should have their",
      "first token within 1.25 times what one alone takes on pd, and each later one within 4 decode steps.",
      "Times are those of the devices."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote bench compare --json",
      "  epidote bench compare --profile internvl2-26b-a100 --devices 8 --time-scale 4"
    })
final class BenchCompareCommand implements Callable<Integer> {
  private static final List<Integer> PICTURES = List.of(2, 4, 6, 8);
  private static final int MOST = PICTURES.getLast();
  private static final int WIDTH = 4032;
  private static final int HEIGHT = 3024;

  /** The paper's prompts and answers. */
  private static final int WORDS = 22;

  private static final int ANSWER = 10;

  private static final int LOAD_PICTURES = 4;
  private static final List<String> GOODPUT = List.of("aggregated", "pd", "epd");

  /** Share of requests that have to be fast enough. */
  private static final double ATTAINMENT = 0.9;

  /** Rounds in which code is compiled and nodes learn their costs. */
  private static final int WARM_UP = 1;

  /** All pictures of a request on one encode node. */
  private static final String UNSHARDED = "epd_unsharded";

  /** Encode, then prefill, then decode. */
  private static final String STRICT = "epd_strict";

  /**
   * As the paper's: strict, and pictures are not divided, as its times for 2 to 8 of them show (six
   * take as long as two, eight a picture longer).
   */
  private static final String PAPER = "paper_epd";

  /** In the clock's own time, to see what another time does to the figures. */
  private static final String CLOCK = "epd_at_clock";

  @Option(
      names = "--profile",
      paramLabel = "NAME|FILE",
      converter = EmulationOptions.ProfileConverter.class,
      description = "The device, with a model. Default: minicpm-v-2.6-a100.")
  @Nullable CostProfile profile;

  @Option(
      names = "--devices",
      paramLabel = "N",
      description = "Devices of each side. Default: ${DEFAULT-VALUE}.")
  private int devices = 8;

  @Option(
      names = "--rounds",
      paramLabel = "N",
      description = "Measurements of each case. Default: ${DEFAULT-VALUE}.")
  private int rounds = 5;

  @Option(
      names = "--rates",
      split = ",",
      paramLabel = "R",
      description = "Requests a second, rising, to look for goodput at. Default: ${DEFAULT-VALUE}.")
  private List<Double> rates = List.of(2.0, 2.8, 4.0);

  @Option(
      names = "--load-requests",
      paramLabel = "N",
      description = "Requests at each rate; 0: no rates. Default: ${DEFAULT-VALUE}.")
  private int loadRequests = 60;

  @Option(
      names = "--time-scale",
      paramLabel = "N",
      description =
          "How many times faster than the clock the devices' time runs. What this does to the figures is measured: time_scale_effect. Default: ${DEFAULT-VALUE}.")
  private double timeScale = 1;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  /**
   * What is asked.
   *
   * @param loses whether E/P/D should not be better here
   */
  private record Case(
      String name, int pictures, int width, int height, int words, int answer, boolean loses) {
    GenerateRequest request(HeaderPictures from) {
      return from.request(pictures, width, height, words, answer);
    }
  }

  /** Each that is asked for goodput, and the last rate that it was fast enough at. */
  private final Map<String, Double> goodputs = new LinkedHashMap<>();

  private final List<Map<String, Object>> attainments = new ArrayList<>();
  private final HeaderPictures requests = new HeaderPictures(7);
  private final Samples samples = new Samples();
  private final List<Case> cases = cases();

  private static List<Case> cases() {
    List<Case> cases = new ArrayList<>();
    for (int count : PICTURES) {
      cases.add(new Case("pictures_" + count, count, WIDTH, HEIGHT, WORDS, ANSWER, false));
    }
    cases.add(new Case("text_22", 0, 0, 0, WORDS, ANSWER, true));
    cases.add(new Case("text_2048", 0, 0, 0, 2048, ANSWER, true));
    cases.add(new Case("small_picture", 1, 448, 336, WORDS, ANSWER, true));
    return cases;
  }

  @Override
  public Integer call() {
    CostProfile device = profile == null ? Home.profile("minicpm-v-2.6-a100") : profile;
    if (device.model().isEmpty() || device.pictureMs().isEmpty()) {
      throw new InvalidRequest(
          "The profile emulates no model; expected one with model and costs.picture_ms, for example minicpm-v-2.6-a100");
    }
    if (devices < 3 || rounds < 1 || loadRequests < 0) {
      throw new InvalidRequest("--devices must be at least 3, --rounds 1 and --load-requests 0");
    }
    if (rates.stream().anyMatch(rate -> !(rate > 0))) {
      throw new InvalidRequest("--rates must be above 0");
    }
    try (Progress progress = new Progress()) {
      List<CompareSide> sides = new ArrayList<>();
      try {
        for (Layout layout :
            List.of(
                Layout.aggregated(devices),
                Layout.prefillDecode(devices),
                Layout.epd(devices),
                Layout.epd(devices).strict().named(STRICT),
                Layout.epd(devices).strict().sharded(Sharding.PICTURES).named(PAPER),
                Layout.epd(devices).sharded(Sharding.NONE).named(UNSHARDED))) {
          sides.add(CompareSide.start(layout, device, timeScale, progress));
        }
        sides.add(CompareSide.start(Layout.epd(devices).named(CLOCK), device, 1, progress));
        for (int round = -WARM_UP; round < rounds; round++) {
          if (round == 0) {
            samples.forget();
          }
          round(sides, round, progress);
        }
        if (loadRequests > 0) {
          load(device, sides, progress);
        }
      } finally {
        sides.forEach(CompareSide::close);
      }
    }
    Report report = report();
    if (json) {
      report.print(System.out);
    } else {
      report.printTable(System.out);
    }
    return 0;
  }

  private void round(List<CompareSide> sides, int round, Progress progress) {
    for (Case asked : cases) {
      for (int turn = 0; turn < sides.size(); turn++) {
        // Each side is the first as often as any.
        CompareSide side = sides.get(Math.floorMod(turn + round, sides.size()));
        if (!measures(side, asked)) {
          continue;
        }
        progress.update(
            "%s: %s on %s"
                .formatted(
                    round < 0 ? "warming up" : "round %d of %d".formatted(round + 1, rounds),
                    asked.name(),
                    side.name()));
        CompareSide.Times times = side.ask(asked.request(requests));
        samples.add(key("ttft_ms", asked.name(), side.name()), times.firstToken());
        samples.add(key("e2e_ms", asked.name(), side.name()), times.end());
      }
    }
  }

  /** Rate by rate, each side until it is too slow. */
  private void load(CostProfile device, List<CompareSide> sides, Progress progress) {
    CompareLoad load = new CompareLoad(loadRequests, ANSWER, targets(device));
    Case asked =
        cases.stream().filter(some -> some.pictures() == LOAD_PICTURES).findFirst().orElseThrow();
    List<CompareSide> left =
        new ArrayList<>(sides.stream().filter(side -> GOODPUT.contains(side.name())).toList());
    left.forEach(side -> goodputs.put(side.name(), 0.0));
    for (double rate : rates) {
      for (CompareSide side : List.copyOf(left)) {
        progress.update("%s requests a second on %s".formatted(rate, side.name()));
        double met = load.attainment(side, rate, () -> asked.request(requests));
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("side", side.name());
        row.put("rate", rate);
        row.put("attainment", Report.rounded(met));
        attainments.add(row);
        if (met >= ATTAINMENT) {
          goodputs.put(side.name(), rate);
        } else {
          left.remove(side);
        }
      }
    }
  }

  private CompareLoad.Targets targets(CostProfile device) {
    return new CompareLoad.Targets(
        1.25 * ttft("pictures_" + LOAD_PICTURES, "pd"), 4 * device.ms("decode_step_ms"));
  }

  /** Some sides are there for one question each. */
  private static boolean measures(CompareSide side, Case asked) {
    return switch (side.name()) {
      case UNSHARDED, STRICT, PAPER -> !asked.loses();
      case CLOCK -> asked.pictures() == MOST;
      default -> true;
    };
  }

  private static String key(String what, String asked, String side) {
    return "%s %s %s".formatted(what, asked, side);
  }

  private double ttft(String asked, String side) {
    return samples.median(key("ttft_ms", asked, side));
  }

  /** Over requests of pictures. */
  private double meanTtft(String side) {
    return PICTURES.stream()
        .mapToDouble(count -> ttft("pictures_" + count, side))
        .average()
        .orElseThrow();
  }

  private Report report() {
    Report report = new Report("bench compare");
    for (int count : PICTURES) {
      String name = "pictures_" + count;
      report.figure(
          "ttft_reduction_" + count, Report.rounded(1 - ttft(name, "epd") / ttft(name, "pd")));
    }
    String most = "pictures_" + MOST;
    report
        .figure("sharding_gain_" + MOST, Report.rounded(ttft(most, UNSHARDED) / ttft(most, "epd")))
        .figure("ttft_gain_over_paper_epd", Report.rounded(1 - meanTtft("epd") / meanTtft(PAPER)))
        .figure("overlap_gain", Report.rounded(1 - meanTtft("epd") / meanTtft(STRICT)))
        .figure(
            "worst_case_over_aggregated",
            Report.rounded(
                cases.stream()
                    .filter(Case::loses)
                    .mapToDouble(asked -> overAggregated(asked.name()))
                    .max()
                    .orElseThrow()))
        .figure("time_scale", timeScale)
        .figure("time_scale_effect", Report.rounded(ttft(most, "epd") / ttft(most, CLOCK) - 1))
        .figure("slo_ttft_ms", Report.rounded(1.25 * ttft("pictures_" + LOAD_PICTURES, "pd")))
        .figure("devices", devices)
        .figure("rounds", rounds);
    goodputs.forEach((side, rate) -> report.figure("goodput_" + side, rate));
    attainments.forEach(report::row);
    for (Case asked : cases) {
      Map<String, Object> row = new LinkedHashMap<>();
      row.put("case", asked.name());
      row.put("epd_should_lose", asked.loses());
      for (String side : List.of("aggregated", "pd", "epd", STRICT, PAPER, UNSHARDED, CLOCK)) {
        if (samples.has(key("ttft_ms", asked.name(), side))) {
          row.put("ttft_ms_" + side, Report.rounded(ttft(asked.name(), side)));
          row.put(
              "e2e_ms_" + side, Report.rounded(samples.median(key("e2e_ms", asked.name(), side))));
        }
      }
      report.row(row);
    }
    return report;
  }

  /** Whole answers on E/P/D against those on nodes that do everything. */
  private double overAggregated(String asked) {
    return samples.median(key("e2e_ms", asked, "epd"))
        / samples.median(key("e2e_ms", asked, "aggregated"));
  }
}
