package io.epidote.router.roles;

import io.epidote.proto.v1.ExplainResponse;
import io.epidote.proto.v1.RoleDecision;
import io.epidote.proto.v1.RoleOption;
import io.epidote.proto.v1.RoleSwitch;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StagePressure;
import io.epidote.proto.v1.SwitchRequest;
import io.epidote.router.cluster.Cluster;
import io.epidote.router.cluster.Demand;
import io.epidote.router.cluster.Member;
import io.epidote.router.cluster.StageNames;
import io.epidote.router.cluster.StageWork;
import io.epidote.router.request.Slo;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Asks the {@link RolePolicy} once a second, does what it says, and can tell why. One switch, of
 * one node or of a few, at a time.
 */
public final class RoleController implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(RoleController.class);

  private final Cluster cluster;
  private final RoleRules rules;
  private final RolePolicy policy;
  private final RoleSwitches switches;
  private final Executor threads;
  private final BooleanSupplier leads;
  private final ScheduledThreadPoolExecutor timer;

  private volatile boolean switching;
  private volatile RoleDecision last = RoleDecision.getDefaultInstance();
  private volatile long decidedAt = System.nanoTime();

  /**
   * @param slo targets of requests that say none
   * @param threads for work that blocks
   * @param leads whether it is this router, of several, that switches by itself
   */
  public RoleController(
      Cluster cluster, RoleRules rules, Slo slo, Executor threads, BooleanSupplier leads) {
    this.cluster = cluster;
    this.rules = rules;
    this.policy = new RolePolicy(rules, slo);
    this.switches = new RoleSwitches(cluster);
    this.threads = threads;
    this.leads = leads;
    this.timer =
        new ScheduledThreadPoolExecutor(1, Thread.ofPlatform().daemon().name("roles").factory());
    long period = RolePolicy.PERIOD.toMillis();
    timer.scheduleWithFixedDelay(this::look, period, period, TimeUnit.MILLISECONDS);
  }

  /** Switches a node because somebody asks for it; returns when it serves. Blocks. */
  public RoleSwitch switchNode(SwitchRequest request) {
    Duration drain = request.hasDrainMs() ? Duration.ofMillis(request.getDrainMs()) : rules.drain();
    return timed(request.getNodeId(), request.getStagesList(), drain, true);
  }

  /** The last decision, and what was done before. */
  public ExplainResponse explain() {
    return ExplainResponse.newBuilder()
        .setAutomatic(rules.automatic())
        .setLast(last.toBuilder().setAgeMs((System.nanoTime() - decidedAt) / 1e6))
        .addAllSwitches(switches.history())
        .build();
  }

  private void look() {
    try {
      decide();
    } catch (RuntimeException e) {
      log.error("A look at the roles failed; the next is in a second", e);
    }
  }

  private void decide() {
    List<Member> members =
        cluster.members().stream()
            .filter(member -> !member.isDraining() && !member.isLeaving())
            .toList();
    Demand.Rates rates = cluster.demand().rates();
    RolePolicy.Look look =
        policy.look(members, rates, cluster.work(rates), hindrance(), System.nanoTime());
    RoleDecision.Builder decision =
        RoleDecision.newBuilder()
            .setAttainment(look.stays().attainment())
            .setVerdict(look.verdict());
    pressures(look.forecast(), look.nodes(), decision);
    for (RolePolicy.Candidate candidate : look.candidates()) {
      boolean best = look.best().filter(candidate::equals).isPresent();
      decision.addOptions(
          RoleOption.newBuilder()
              .addAllNodeIds(candidate.nodes().stream().map(Member::id).toList())
              .addAllStages(candidate.to())
              .setAttainment(candidate.outcome().attainment())
              .setWhyNot(
                  best ? "" : look.best().isEmpty() ? "gains too little" : "another gains more"));
    }
    last = decision.build();
    decidedAt = System.nanoTime();
    if (look.begins()) {
      begin(look.best().orElseThrow());
    }
  }

  private Optional<String> hindrance() {
    if (!rules.automatic()) {
      return Optional.of("only by hand");
    }
    if (!leads.getAsBoolean()) {
      return Optional.of("another router leads");
    }
    return switching || switches.isUnderWay()
        ? Optional.of("a switch is under way")
        : Optional.empty();
  }

  private void begin(RolePolicy.Candidate chosen) {
    switching = true;
    log.info("Roles: {}; {}", last.getVerdict(), loadWords(last));
    AtomicInteger left = new AtomicInteger(chosen.nodes().size());
    for (Member node : chosen.nodes()) {
      threads.execute(() -> {
        try {
          var unused = timed(node.id(), chosen.to(), rules.drain(), false);
        } catch (RuntimeException e) {
          // It is logged and remembered; the node has the stages that it had.
          log.debug("A switch failed", e);
        } finally {
          if (left.decrementAndGet() == 0) {
            switching = false;
          }
        }
      });
    }
  }

  private RoleSwitch timed(String node, Collection<Stage> stages, Duration drain, boolean manual) {
    long start = System.nanoTime();
    try {
      RoleSwitch done = switches.run(node, stages, drain, manual);
      long end = System.nanoTime();
      policy.switched((end - start) / 1e6, end);
      return done;
    } catch (RuntimeException e) {
      if (!manual) {
        policy.failed(System.nanoTime());
      }
      throw e;
    }
  }

  private static void pressures(
      Forecast forecast, Forecast.Nodes nodes, RoleDecision.Builder decision) {
    StageWork work = forecast.work();
    int decodes = nodes.decode();
    double encode = forecast.utilisation(work.encodeMs(), nodes.encode());
    double tokenMs = forecast.tokenMs(work.answers(), nodes, Math.clamp(encode, 0, 1));
    // A decode node at its target's pace: what its answers ask for over what they get.
    double decode = decodes == 0 ? 0 : tokenMs / forecast.tpotMs();
    decision
        .addPressures(pressure(Stage.STAGE_ENCODE, nodes, encode, work.waitingEncodeMs()))
        .addPressures(
            pressure(
                Stage.STAGE_PREFILL,
                nodes,
                forecast.utilisation(work.prefillMs(), nodes.prefill()),
                work.waitingPrefillMs()))
        .addPressures(
            pressure(
                Stage.STAGE_DECODE,
                nodes,
                decode,
                work.answers() * forecast.rates().answerTokens() * tokenMs / 2));
  }

  /** How busy the stages are, for the log. */
  private static String loadWords(RoleDecision decision) {
    return decision.getPressuresList().stream()
        .map(each ->
            "%s %.2f busy on %d, %.1f s wait"
                .formatted(
                    StageNames.of(each.getStage()),
                    each.getUtilisation(),
                    each.getNodes(),
                    each.getBacklogS()))
        .collect(Collectors.joining(", "));
  }

  private static StagePressure pressure(
      Stage stage, Forecast.Nodes nodes, double utilisation, double backlogMs) {
    return StagePressure.newBuilder()
        .setStage(stage)
        .setNodes(nodes.of(stage))
        .setUtilisation(Double.isFinite(utilisation) ? utilisation : -1)
        .setBacklogS(backlogMs / 1e3)
        .build();
  }

  @Override
  public void close() {
    timer.shutdownNow();
  }
}
