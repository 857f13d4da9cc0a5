package io.epidote.cli;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.model.Precision;
import io.epidote.planner.Capacity;
import io.epidote.planner.Goodput;
import io.epidote.planner.Layout;
import io.epidote.planner.Plan;
import io.epidote.planner.PlanSearch;
import io.epidote.planner.PlanSpace;
import io.epidote.planner.sim.ClusterShape.Host;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.epidote.planner.sim.Outcome;
import io.epidote.planner.sim.Request;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
    name = "plan",
    description = {
      "Finds how to use a number of devices: which nodes, how large their batches, whose turn it is and",
      "whether media are divided. By simulation it looks for the most goodput: the highest rate at which 90 %%",
      "of the requests have their first token and each later one within their targets. Prints the plan as a",
      "command and as values for Kubernetes, with what share of requests is fast enough at which rate."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote plan --devices 8 --slo-ttft 2600 --slo-tpot 40",
      "  epidote plan --devices 16 --workload pictures=4,answer=100 --slo-ttft 3000 --slo-tpot 50 --rate 3",
      "  epidote plan --check --json"
    })
final class PlanCommand implements Callable<Integer> {
  private static final String DEVICE = "minicpm-v-2.6-a100";
  private static final double ATTAINMENT = 0.9;
  private static final double EXACT = 0.02;
  private static final long SEED = 17;
  private static final int FEWEST_REQUESTS = 300;
  private static final int REQUESTS_OF_DEVICE = 4;

  /** Parts of the goodput at which the curve is told. */
  private static final List<Double> CURVE = List.of(0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5);

  /** Part of the goodput at which the plan is tried on an emulated cluster. */
  private static final double TRIED = 0.8;

  /** What a device must bring where a rate is asked for and no cost is named, of that rate. */
  private static final double SOME_COST = 1e-3;

  private static final List<Double> CHECK_RATES = List.of(1.5, 2.4);

  @Option(
      names = "--profile",
      paramLabel = "NAME|FILE",
      converter = EmulationOptions.ProfileConverter.class,
      description = "The device, with a model. Default: minicpm-v-2.6-a100.")
  private @Nullable CostProfile profile;

  @Option(
      names = "--devices",
      paramLabel = "N",
      description = "Devices that there are, a node each. Default: ${DEFAULT-VALUE}.")
  private int devices = 8;

  @Option(
      names = "--workload",
      paramLabel = "KINDS",
      description = {
        "Requests: 'paper' (six pictures of 4032x3024, 22 words, 10 tokens of answer), or kinds such as pictures=4,size=4032x3024,words=22,answer=10 with a semicolon between them, each as likely. Default: pictures=4."
      })
  private String workload = "pictures=4";

  @Option(
      names = {"--slo-ttft", "--slo-ttft-ms"},
      paramLabel = "MS",
      description = "Target of the first token. Default: ${DEFAULT-VALUE}.")
  private double sloTtft = 2600;

  @Option(
      names = {"--slo-tpot", "--slo-tpot-ms"},
      paramLabel = "MS",
      description = "Target of each token after it, on average. Default: ${DEFAULT-VALUE}.")
  private double sloTpot = 40;

  @Option(
      names = "--rate",
      paramLabel = "R",
      description =
          "Requests a second that are to be served well; more than that is of no use, and fewer devices may do. Default: as many as can be.")
  private @Nullable Double rate;

  @Option(
      names = "--cost-per-device",
      paramLabel = "R",
      description =
          "Goodput that a device has to bring, in requests a second; fewer devices may do. Default: 0.")
  private @Nullable Double costPerDevice;

  @Option(
      names = "--requests",
      paramLabel = "N",
      description = "Requests of a simulation. Default: 300, or 4 for each device if that is more.")
  private @Nullable Integer requests;

  @Option(
      names = "--measure",
      description =
          "Run the plan on an emulated cluster, too, and tell how far the simulator was off.")
  private boolean measure;

  @Option(
      names = "--check",
      description =
          "Compare the simulator with an emulated cluster on five layouts at two rates, and the plan with all layouts.")
  private boolean check;

  @Option(
      names = "--check-requests",
      paramLabel = "N",
      description = "Requests of each comparison. Default: ${DEFAULT-VALUE}.")
  private int checkRequests = 80;

  @Option(
      names = "--time-scale",
      paramLabel = "N",
      description =
          "How many times faster than the clock emulated devices run. Default: ${DEFAULT-VALUE}.")
  private double timeScale = 1;

  @Option(
      names = "--real",
      description =
          "With --check: compare the simulator with this machine's real engine instead; --profile is what 'epidote profile --out' wrote of the same --model, --precision and --threads.")
  private boolean real;

  @Option(
      names = "--model",
      paramLabel = "DIR|SHAPE",
      description = "With --real: what is served. Default: ${DEFAULT-VALUE}.")
  private String model = "smollm2-135m";

  @Option(
      names = "--precision",
      paramLabel = "P",
      converter = PrecisionConverter.class,
      description = "With --real: of the weights. Default: ${DEFAULT-VALUE}.")
  private Precision precision = Precision.INT8;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "With --real: of the model. Default: ${DEFAULT-VALUE}.")
  private int threads = 2;

  @Option(
      names = "--values",
      paramLabel = "FILE",
      description =
          "Write the values for Kubernetes there, too: deploy/overlays/planned/plan.yaml takes them.")
  private @Nullable Path values;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  private final Report report = new Report("plan");

  @Override
  public Integer call() {
    if (real) {
      return checkReal();
    }
    CostProfile device = profile == null ? Home.profile(DEVICE) : profile;
    if (device.model().isEmpty()) {
      throw new InvalidRequest(
          "The profile has no model; expected one with model, for example minicpm-v-2.6-a100");
    }
    if (devices < 1
        || (check && devices < 4)
        || checkRequests < 1
        || sloTtft <= 0
        || sloTpot <= 0) {
      throw new InvalidRequest(
          "--devices must be at least 1 (4 with --check), --check-requests 1, and targets above 0");
    }
    PlanWorkload asked = PlanWorkload.parse(workload);
    Targets targets = new Targets(OptionalDouble.of(sloTtft), OptionalDouble.of(sloTpot));
    ClusterOptions any =
        PlanTrials.options(device, Plan.usual(new Layout(0, 0, 0, 0, 0, 1)), targets);
    try (Progress progress = new Progress();
        PlanCluster clusters = PlanCluster.open(device, any.modelFolder())) {
      List<Request> mix = asked.simulated(clusters.model());
      int count =
          requests == null ? Math.max(FEWEST_REQUESTS, REQUESTS_OF_DEVICE * devices) : requests;
      PlanTrials trials =
          new PlanTrials(clusters, Host.NONE, mix, targets, ATTAINMENT, count, SEED);
      PlanSpace space =
          new PlanSpace(
              devices,
              rate != null || costPerDevice != null,
              mix.stream().anyMatch(request -> !request.tiles().isEmpty()));
      PlanSearch.Found found = search(trials, space, progress);
      String command = tell(found, trials, Home.profileWord(device));
      PlanCheck checks = new PlanCheck(trials, asked, timeScale, progress, report);
      if (check) {
        checks.tellSpeed(Plan.usual(PlanCheck.layouts(devices).getFirst()), CHECK_RATES.getLast());
        checks.tellChoice(found.plan(), space, 2 * count);
        Host host = checks.host();
        for (double each : CHECK_RATES) {
          for (Layout layout : PlanCheck.layouts(devices)) {
            checks.compare(Plan.usual(layout), each * devices / 8, checkRequests, host);
          }
        }
        checks.tellErrors();
      } else if (measure) {
        checks.compare(found.plan(), TRIED * found.goodput(), checkRequests, checks.host());
        checks.tellErrors();
      }
      progress.close();
      if (values != null) {
        write(values, PlanText.values(found.plan(), targets));
      }
      if (json) {
        report.print(System.out);
      } else {
        System.out.println(command);
        System.out.println(PlanText.values(found.plan(), targets));
        report.printTable(System.out);
      }
    }
    return 0;
  }

  private static void write(Path file, String text) {
    try {
      Files.writeString(file, text);
    } catch (IOException e) {
      throw new InvalidRequest(
          "--values %s cannot be written: %s".formatted(file, e.getMessage()), e);
    }
  }

  private int checkReal() {
    if (!check || profile == null || profile.model().isPresent()) {
      throw new InvalidRequest(
          "--real needs --check, and as --profile what 'epidote profile --model %s --out FILE' wrote"
              .formatted(model));
    }
    CostProfile emulated = Home.profile(DEVICE);
    Targets none = Targets.NONE;
    ClusterOptions any =
        PlanTrials.options(emulated, Plan.usual(new Layout(1, 1, 1, 0, 0, 0)), none);
    try (Progress progress = new Progress()) {
      Host host;
      // What the host takes is measured where no engine computes.
      try (PlanCluster clusters = PlanCluster.open(emulated, any.modelFolder())) {
        PlanTrials trials =
            new PlanTrials(clusters, Host.NONE, List.of(), none, ATTAINMENT, 1, SEED);
        host = new PlanCheck(trials, PlanWorkload.parse(workload), 1, progress, report).host();
      }
      new PlanReal(profile, Home.modelOrShape(model, progress), precision, threads)
          .compare(host, checkRequests, progress, report);
    }
    if (json) {
      report.print(System.out);
    } else {
      report.printTable(System.out);
    }
    return 0;
  }

  private PlanSearch.Found search(PlanTrials trials, PlanSpace space, Progress progress) {
    Capacity capacity = new Capacity(trials.clusters().device(), trials.mix());
    double least = rate == null ? 0 : SOME_COST * rate;
    // Beyond the rate that is asked for, a plan is as good as at it.
    double enough = rate == null ? Double.MAX_VALUE : rate;
    Goodput.Trial trial = (plan, tried) -> tried <= enough && trials.meets(plan, tried);
    long start = System.nanoTime();
    PlanSearch.Found found =
        new PlanSearch(
                space,
                capacity,
                trial,
                EXACT,
                costPerDevice == null ? least : costPerDevice,
                progress::update)
            .search(SEED);
    if (found.goodput() == 0) {
      throw new InvalidRequest(
          "No plan of %d devices serves any rate with first tokens in %s ms and later ones in %s ms; allow more time, or more devices"
              .formatted(devices, sloTtft, sloTpot));
    }
    report
        .figure("search_s", Report.rounded((System.nanoTime() - start) / 1e9))
        .figure("plans", space.size())
        .figure("plans_simulated", found.looked())
        .figure("exhaustive", found.exhaustive() ? 1 : 0)
        .figure("devices", found.plan().layout().devices())
        .figure("goodput_predicted", Report.rounded(found.goodput()));
    return found;
  }

  private String tell(PlanSearch.Found found, PlanTrials trials, String word) {
    Plan plan = found.plan();
    String command = PlanText.command(plan, trials.targets(), word);
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("plan", plan.layout().word());
    row.put("prefill_step", plan.prefillStep());
    row.put("decode_batch", plan.decodeBatch());
    row.put("order", plan.order().word());
    row.put("sharding", plan.divides());
    row.put("command", command);
    row.put("values", PlanText.values(plan, trials.targets()));
    report.row(row);
    // Of requests that the search did not see.
    PlanTrials others = trials.with(2 * trials.requests(), SEED + 1);
    for (double part : CURVE) {
      Outcome outcome = others.run(plan, part * found.goodput());
      Map<String, Object> point = new LinkedHashMap<>();
      point.put("rate", Report.rounded(part * found.goodput()));
      point.put("attainment", Report.rounded(outcome.attainment(trials.targets())));
      point.put("ttft_ms_p50", Report.rounded(outcome.ttft(0.5)));
      point.put("ttft_ms_p99", Report.rounded(outcome.ttft(0.99)));
      point.put("tpot_ms_p50", Report.rounded(outcome.tpot(0.5)));
      report.row(point);
    }
    return command;
  }
}
