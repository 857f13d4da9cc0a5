package io.epidote.router.roles;

import static java.util.Objects.requireNonNull;

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
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Gives nodes of one stage to another when that is predicted to pay: once a second it compares the
 * share of requests that will meet their targets over the horizon ({@link Forecast}) with and
 * without each switch, the time in which the node does nothing included. It switches when the best
 * gains enough, and has been the best for a few looks; never below the floor, one node at a time,
 * and then not again until the cooldown is over. Nodes with several stages are left as they are.
 */
public final class RoleController implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(RoleController.class);
  private static final long PERIOD_MS = 1000;

  /** Hysteresis: what a switch has to gain of the forecast's score. */
  private static final double LEAST_GAIN = 0.04;

  /** Switches of a kind that are looked at together: one alone may gain nothing, and three all. */
  private static final int AHEAD = 3;

  /** And for how many looks in a row. */
  private static final int LOOKS = 2;

  /** Requests with fewer than this many a second tell nothing. */
  private static final double LEAST_RATE = 0.1;

  /** Of the same load, before it is believed that it is one; or that many seconds of it. */
  private static final double LEAST_REQUESTS = 20;

  private static final double LEAST_SECONDS = 30;

  /** Targets where there are none: so many times what an idle cluster would take. */
  private static final double USUAL_TTFT = 3;

  private static final double USUAL_TPOT = 1.5;

  /** Of a switch, before one was seen. */
  private static final double SOME_LOAD_MS = 1000;

  private record Move(Stage from, Stage to) {}

  private record ByStage(List<Member> encode, List<Member> prefill, List<Member> decode) {
    List<Member> get(Stage stage) {
      return switch (stage) {
        case STAGE_ENCODE -> encode;
        case STAGE_PREFILL -> prefill;
        case STAGE_DECODE -> decode;
        case STAGE_UNSPECIFIED, UNRECOGNIZED -> List.of();
      };
    }
  }

  /**
   * What a look came to.
   *
   * @param begins whether the best switch is begun
   * @param words that explain it
   */
  private record Verdict(boolean begins, String words) {
    static Verdict waits(String words) {
      return new Verdict(false, words);
    }
  }

  /**
   * A switch that could be done.
   *
   * @param outcome as things are
   * @param gain in the forecast's score, in the worse of two cases
   * @param times that it is to be done, with the cooldown in between, for that gain
   */
  private record Candidate(
      Move move, Member node, Forecast.Outcome outcome, double gain, int times) {}

  private final Cluster cluster;
  private final RoleRules rules;
  private final Slo slo;
  private final RoleSwitches switches;
  private final Executor threads;
  private final BooleanSupplier leads;
  private final ScheduledThreadPoolExecutor timer;

  // Of the timer's thread, but for what is volatile:
  private @Nullable Move lastBest;
  private int looks;
  private double switchMs = SOME_LOAD_MS;
  private volatile boolean switching;
  private volatile long switchedAt = System.nanoTime() - TimeUnit.HOURS.toNanos(1);
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
    this.slo = slo;
    this.switches = new RoleSwitches(cluster);
    this.threads = threads;
    this.leads = leads;
    this.timer =
        new ScheduledThreadPoolExecutor(1, Thread.ofPlatform().daemon().name("roles").factory());
    timer.scheduleWithFixedDelay(this::look, PERIOD_MS, PERIOD_MS, TimeUnit.MILLISECONDS);
  }

  /** Switches a node because somebody asks for it; returns when it serves. Blocks. */
  public RoleSwitch switchNode(SwitchRequest request) {
    Duration drain = request.hasDrainMs() ? Duration.ofMillis(request.getDrainMs()) : rules.drain();
    RoleSwitch done = switches.run(request.getNodeId(), request.getStagesList(), drain, true);
    switchedAt = System.nanoTime();
    return done;
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
    ByStage nodes = nodes();
    Demand.Rates rates = cluster.demand().rates();
    StageWork work = cluster.work(rates);
    Forecast forecast = forecast(rates, work);
    RoleDecision.Builder decision = RoleDecision.newBuilder();
    pressures(forecast, nodes, decision);
    Forecast.Outcome stays = forecast.of(count(nodes, null, null, 0, 0));
    decision.setAttainment(stays.attainment());
    // What was seen may be less than what comes, by chance: a switch has to pay then, too.
    Forecast busier = forecast(rates.atMost(), work);
    List<Candidate> candidates = tells(rates) ? candidates(nodes, forecast, busier) : List.of();
    Optional<Candidate> best = candidates.stream().max(Comparator.comparingDouble(Candidate::gain));
    double gain = best.map(Candidate::gain).orElse(0.0);
    boolean pays = gain >= LEAST_GAIN;
    Move move = pays ? best.orElseThrow().move() : null;
    looks = move != null && move.equals(lastBest) ? looks + 1 : 1;
    lastBest = move;
    Verdict verdict = verdict(rates, best, gain, pays);
    for (Candidate candidate : candidates) {
      boolean chosen = pays && candidate.equals(best.orElseThrow());
      decision.addOptions(
          RoleOption.newBuilder()
              .setNodeId(candidate.node().id())
              .addStages(candidate.move().to())
              .setAttainment(candidate.outcome().attainment())
              .setWhyNot(
                  chosen
                      ? ""
                      : candidate.gain() < LEAST_GAIN ? "gains too little" : "another gains more"));
    }
    last = decision.setVerdict(verdict.words()).build();
    decidedAt = System.nanoTime();
    if (verdict.begins()) {
      begin(best.orElseThrow());
    }
  }

  private static boolean tells(Demand.Rates rates) {
    return rates.requestsS() >= LEAST_RATE
        && (rates.seconds() >= LEAST_SECONDS
            || rates.requestsS() * rates.seconds() >= LEAST_REQUESTS);
  }

  private Verdict verdict(Demand.Rates rates, Optional<Candidate> best, double gain, boolean pays) {
    if (!tells(rates)) {
      return Verdict.waits("too few requests to tell, or a load that has just changed");
    }
    if (best.isEmpty()) {
      return Verdict.waits("no stage has a node to spare");
    }
    Candidate first = best.get();
    String what =
        "%s from %s to %s (gain %.2f%s)"
            .formatted(
                first.node().id(),
                StageNames.of(first.move().from()),
                StageNames.of(first.move().to()),
                gain,
                first.times() > 1 ? ", the first of " + first.times() : "");
    if (!pays) {
      return Verdict.waits("stay: the best switch would be " + what);
    }
    if (!rules.automatic()) {
      return Verdict.waits("would switch " + what + ", but only by hand");
    }
    if (!leads.getAsBoolean()) {
      return Verdict.waits("would switch " + what + ", but another router leads");
    }
    if (switching || switches.isUnderWay()) {
      return Verdict.waits("wait for the switch that is under way; then " + what);
    }
    double cooled = (System.nanoTime() - switchedAt) / 1e9;
    if (cooled < rules.cooldown().toMillis() / 1e3) {
      return Verdict.waits(
          "wait %.1f s until the cooldown is over; then %s"
              .formatted(rules.cooldown().toMillis() / 1e3 - cooled, what));
    }
    return looks < LOOKS
        ? Verdict.waits("look again before switching " + what)
        : new Verdict(true, "switch " + what);
  }

  private void begin(Candidate chosen) {
    switching = true;
    looks = 0;
    log.info("Roles: {}; {}", last.getVerdict(), loadWords(last));
    threads.execute(() -> {
      long start = System.nanoTime();
      try {
        var unused =
            switches.run(chosen.node().id(), List.of(chosen.move().to()), rules.drain(), false);
        long ms = (System.nanoTime() - start) / 1_000_000;
        timer.execute(() -> switchMs = ms);
      } catch (RuntimeException e) {
        // It is logged and remembered; the node has the stages that it had.
        log.debug("A switch failed", e);
      } finally {
        switchedAt = System.nanoTime();
        switching = false;
      }
    });
  }

  /** Nodes that take requests, by what they have; one with several stages counts for each. */
  private ByStage nodes() {
    return new ByStage(
        having(Stage.STAGE_ENCODE), having(Stage.STAGE_PREFILL), having(Stage.STAGE_DECODE));
  }

  private List<Member> having(Stage stage) {
    return cluster.members().stream()
        .filter(member ->
            !member.isDraining() && !member.isLeaving() && member.stages().contains(stage))
        .toList();
  }

  private List<Candidate> candidates(ByStage nodes, Forecast forecast, Forecast busier) {
    List<Candidate> candidates = new ArrayList<>();
    Forecast.Nodes now = count(nodes, null, null, 0, 0);
    double stays = forecast.of(now).score();
    double staysBusier = busier.of(now).score();
    for (Stage from : StageNames.ALL) {
      Optional<Member> node =
          nodes.get(from).stream()
              .filter(member -> member.stages().equals(Set.of(from)))
              .min(Comparator.comparingInt(member -> member.load(from)));
      if (node.isEmpty() || nodes.get(from).size() <= rules.floor()) {
        continue;
      }
      for (Stage to : StageNames.ALL) {
        if (to != from) {
          Candidate best = null;
          for (int times = 1;
              times <= AHEAD && nodes.get(from).size() - times >= rules.floor();
              times++) {
            Forecast.Course course = course(nodes, from, to, times);
            Forecast.Outcome outcome = forecast.of(course);
            double gain =
                Math.min(outcome.score() - stays, busier.of(course).score() - staysBusier);
            if (best == null || gain > best.gain()) {
              best = new Candidate(new Move(from, to), node.get(), outcome, gain, times);
            }
          }
          candidates.add(requireNonNull(best));
        }
      }
    }
    return candidates;
  }

  /** So many switches of a kind one after the other. */
  private Forecast.Course course(ByStage nodes, Stage from, Stage to, int times) {
    double switchS = switchMs / 1e3;
    double period = switchS + Math.max(rules.cooldown().toMillis(), LOOKS * PERIOD_MS) / 1e3;
    return seconds -> {
      int begun = (int) Math.min(times, 1 + Math.floor(seconds / period));
      int done = begun - (seconds - (begun - 1) * period < switchS ? 1 : 0);
      return count(nodes, from, to, begun, done);
    };
  }

  private static Forecast.Nodes count(
      ByStage nodes, @Nullable Stage from, @Nullable Stage to, int gone, int come) {
    return new Forecast.Nodes(
        count(nodes, Stage.STAGE_ENCODE, from, to, gone, come),
        count(nodes, Stage.STAGE_PREFILL, from, to, gone, come),
        count(nodes, Stage.STAGE_DECODE, from, to, gone, come));
  }

  private static int count(
      ByStage nodes, Stage stage, @Nullable Stage from, @Nullable Stage to, int gone, int come) {
    return nodes.get(stage).size() - (stage == from ? gone : 0) + (stage == to ? come : 0);
  }

  private Forecast forecast(Demand.Rates rates, StageWork work) {
    double idleTtft = work.encodeMs() + work.prefillMs();
    double idleTpot = work.decodeStepMs() + work.decodeAnswerMs();
    return new Forecast(
        rates,
        work,
        slo.ttftMs().orElse(Math.max(1, USUAL_TTFT * idleTtft)),
        slo.tpotMs().orElse(Math.max(0.1, USUAL_TPOT * idleTpot)),
        rules.horizon().toMillis() / 1e3);
  }

  private static void pressures(Forecast forecast, ByStage nodes, RoleDecision.Builder decision) {
    StageWork work = forecast.work();
    int decodes = nodes.get(Stage.STAGE_DECODE).size();
    double tokenMs = forecast.tokenMs(work.answers(), decodes);
    // A decode node at its target's pace: what its answers ask for over what they get.
    double decode = decodes == 0 ? 0 : tokenMs / forecast.tpotMs();
    decision
        .addPressures(
            pressure(
                Stage.STAGE_ENCODE,
                nodes,
                forecast.utilisation(work.encodeMs(), nodes.get(Stage.STAGE_ENCODE).size()),
                work.waitingEncodeMs()))
        .addPressures(
            pressure(
                Stage.STAGE_PREFILL,
                nodes,
                forecast.utilisation(work.prefillMs(), nodes.get(Stage.STAGE_PREFILL).size()),
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
      Stage stage, ByStage nodes, double utilisation, double backlogMs) {
    return StagePressure.newBuilder()
        .setStage(stage)
        .setNodes(nodes.get(stage).size())
        .setUtilisation(Double.isFinite(utilisation) ? utilisation : -1)
        .setBacklogS(backlogMs / 1e3)
        .build();
  }

  @Override
  public void close() {
    timer.shutdownNow();
  }
}
