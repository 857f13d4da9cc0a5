package io.epidote.router.roles;

import io.epidote.proto.v1.Stage;
import io.epidote.router.cluster.Demand;
import io.epidote.router.cluster.Member;
import io.epidote.router.cluster.StageNames;
import io.epidote.router.cluster.StageWork;
import io.epidote.router.request.Slo;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Which nodes should be given to another stage. At each look it compares the share of requests that
 * will meet their targets over the horizon ({@link Forecast}) with and without each switch, the
 * time in which the nodes do nothing included. It switches when the best gains enough, and has been
 * the best for a few looks; never below the floor, so many nodes at a time, and then not again
 * until the cooldown is over. Nodes with several stages are left as they are, but for those that
 * encode and decode where the rules have that.
 *
 * <p>It keeps no time of its own and does nothing, so that a simulation asks it, too. Thread-safe.
 */
public final class RolePolicy {
  /** From one look to the next. */
  public static final Duration PERIOD = Duration.ofSeconds(1);

  /** Hysteresis: what a switch has to gain of the forecast's score. */
  private static final double LEAST_GAIN = 0.05;

  /** Nodes whose switches are looked at together: one alone may gain nothing, and three all. */
  private static final int AHEAD = 4;

  /** And for how many looks in a row. */
  private static final int LOOKS = 3;

  /** Or for so many, of a load that is so new. */
  private static final int LOOKS_AT_NEW = 2;

  private static final double NEW_SECONDS = 15;

  /** Requests with fewer than this many a second tell nothing. */
  private static final double LEAST_RATE = 0.1;

  /** Targets where there are none: so many times what an idle cluster would take. */
  private static final double USUAL_TTFT = 3;

  private static final double USUAL_TPOT = 1.5;

  /** Of a switch, before one was seen. */
  private static final double SOME_LOAD_MS = 1000;

  /** Nodes of some kind that are to be of another. */
  private record Move(Set<Set<Stage>> from, Set<Stage> to) {}

  /**
   * A switch that could be done.
   *
   * @param from what the nodes have, each one of these
   * @param to what they get
   * @param nodes that are switched now, those with the least to do
   * @param outcome as things are
   * @param gain in the forecast's score, in the worst case
   * @param times nodes in all for that gain, the others later
   */
  public record Candidate(
      Set<Set<Stage>> from,
      Set<Stage> to,
      List<Member> nodes,
      Forecast.Outcome outcome,
      double gain,
      int times) {}

  /**
   * What a look came to.
   *
   * @param forecast by what was seen
   * @param nodes as they are
   * @param stays what is predicted when nothing is done
   * @param candidates of each kind of switch the best
   * @param best of them, when it pays
   * @param begins whether it is to be begun now
   * @param verdict in words
   */
  public record Look(
      Forecast forecast,
      Forecast.Nodes nodes,
      Forecast.Outcome stays,
      List<Candidate> candidates,
      Optional<Candidate> best,
      boolean begins,
      String verdict) {}

  private final RoleRules rules;
  private final Slo slo;
  private @Nullable Move lastBest;
  private int looks;
  private double switchMs = SOME_LOAD_MS;
  private long cooledAt = Long.MIN_VALUE;

  /**
   * @param slo targets of requests that say none
   */
  public RolePolicy(RoleRules rules, Slo slo) {
    this.rules = rules;
    this.slo = slo;
  }

  /**
   * A switch is over, by whoever it was done.
   *
   * @param ms that it took
   */
  public synchronized void switched(double ms, long nowNanos) {
    switchMs = ms;
    failed(nowNanos);
  }

  /** A switch has failed; that, too, is not tried again at once. */
  public synchronized void failed(long nowNanos) {
    cooledAt = nowNanos + rules.cooldown().toNanos();
  }

  /**
   * Looks at the cluster.
   *
   * @param members that take requests
   * @param hindered why nothing can be begun now; empty where nothing is in the way
   */
  public synchronized Look look(
      List<Member> members,
      Demand.Rates rates,
      StageWork work,
      Optional<String> hindered,
      long nowNanos) {
    Doubts doubts = new Doubts(rates, work);
    Forecast.Nodes nodes = count(members);
    Forecast.Outcome stays = doubts.seen().of(nodes);
    boolean tells = rates.requestsS() >= LEAST_RATE;
    List<Candidate> candidates = tells ? candidates(members, nodes, doubts) : List.of();
    Optional<Candidate> first =
        candidates.stream().max(Comparator.comparingDouble(Candidate::gain));
    Optional<Candidate> best = first.filter(candidate -> candidate.gain() >= LEAST_GAIN);
    Move move = best.map(candidate -> new Move(candidate.from(), candidate.to())).orElse(null);
    looks = move != null && move.equals(lastBest) ? looks + 1 : 1;
    lastBest = move;
    double coolsS = cooledAt == Long.MIN_VALUE ? 0 : (cooledAt - nowNanos) / 1e9;
    // That the load has changed was looked at for seconds already.
    int enough = rates.seconds() < NEW_SECONDS ? LOOKS_AT_NEW : LOOKS;
    boolean begins = best.isPresent() && hindered.isEmpty() && coolsS <= 0 && looks >= enough;
    String verdict;
    if (!tells) {
      verdict = "too few requests to tell";
    } else if (first.isEmpty()) {
      verdict = "no stage has a node to spare";
    } else if (best.isEmpty()) {
      verdict = "stay: the best switch would be " + words(first.get());
    } else if (hindered.isPresent()) {
      verdict = "would switch %s, but %s".formatted(words(best.get()), hindered.get());
    } else if (coolsS > 0) {
      verdict =
          "wait %.1f s until the cooldown is over; then %s".formatted(coolsS, words(best.get()));
    } else {
      verdict = (begins ? "switch " : "look again before switching ") + words(best.get());
    }
    if (begins) {
      looks = 0;
    }
    return new Look(doubts.seen(), nodes, stays, candidates, best, begins, verdict);
  }

  private static String words(Candidate candidate) {
    return "%s from %s to %s (gain %.2f%s)"
        .formatted(
            String.join(" and ", candidate.nodes().stream().map(Member::id).toList()),
            candidate.from().stream()
                .map(StageNames::of)
                .sorted()
                .collect(Collectors.joining(" or ")),
            StageNames.of(candidate.to()),
            candidate.gain(),
            candidate.times() > candidate.nodes().size()
                ? ", with %d in all".formatted(candidate.times())
                : "");
  }

  /**
   * What may be behind what was seen. A switch has to pay with as many requests as were seen, and
   * with a standard deviation more and fewer, so that little evidence needs no rule of its own; and
   * on average of the few seconds of which the load was made, so that one which goes up and down
   * all the time is not followed.
   */
  private final class Doubts {
    private final List<Forecast> amounts;
    private final List<Forecast> pieces;

    Doubts(Demand.Rates rates, StageWork work) {
      this.amounts =
          Stream.of(rates, rates.atMost(), rates.atLeast())
              .map(each -> forecast(each, work))
              .toList();
      this.pieces =
          rates.pieces().isEmpty()
              ? List.of(seen())
              : rates.pieces().stream().map(each -> forecast(each, work)).toList();
    }

    /** Of the forecast as it was seen. */
    Forecast seen() {
      return amounts.getFirst();
    }

    double[] amounts(Forecast.Course course) {
      return scores(amounts, course);
    }

    double pieces(Forecast.Course course) {
      return Arrays.stream(scores(pieces, course)).average().orElseThrow();
    }

    private static double[] scores(List<Forecast> forecasts, Forecast.Course course) {
      return forecasts.stream().mapToDouble(forecast -> forecast.of(course).score()).toArray();
    }
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

  private List<Candidate> candidates(List<Member> members, Forecast.Nodes nodes, Doubts doubts) {
    double[] amounts = doubts.amounts(_ -> nodes);
    double pieces = doubts.pieces(_ -> nodes);
    List<Candidate> candidates = new ArrayList<>();
    for (Move move : moves()) {
      List<Member> free = spare(move, members, nodes);
      Candidate best = null;
      for (int times = 1; times <= free.size(); times++) {
        List<Member> moved = free.subList(0, times);
        Forecast.Course course = course(nodes, moved, move.to());
        double gain = doubts.pieces(course) - pieces;
        double[] then = doubts.amounts(course);
        for (int i = 0; i < then.length; i++) {
          gain = Math.min(gain, then[i] - amounts[i]);
        }
        if (best == null || gain > best.gain()) {
          List<Member> now = moved.subList(0, Math.min(times, rules.atOnce()));
          best = new Candidate(move.from(), move.to(), now, doubts.seen().of(course), gain, times);
        }
      }
      if (best != null) {
        candidates.add(best);
      }
    }
    return candidates;
  }

  /**
   * From each role to each other one. Where encode and decode are shared nobody is given one of
   * them alone, and nodes of both kinds become shared together: so that all of them have the same
   * to do.
   */
  private List<Move> moves() {
    Set<Stage> prefill = Set.of(Stage.STAGE_PREFILL);
    List<Set<Stage>> alone = StageNames.ALL.stream().map(Set::of).toList();
    List<Set<Stage>> targets = rules.shared() ? List.of(Forecast.SHARED, prefill) : alone;
    List<Move> moves = new ArrayList<>();
    for (Set<Stage> to : targets) {
      Set<Set<Stage>> parts =
          to.size() > 1
              ? to.stream().map(Set::of).collect(Collectors.toUnmodifiableSet())
              : Set.of();
      if (!parts.isEmpty()) {
        moves.add(new Move(parts, to));
      }
      Stream.concat(alone.stream(), targets.stream())
          .distinct()
          .filter(from -> !from.equals(to) && !parts.contains(from))
          .forEach(from -> moves.add(new Move(Set.of(from), to)));
    }
    return moves;
  }

  /** Nodes that the move is for, those with the least to do first, as far as they can be spared. */
  private List<Member> spare(Move move, List<Member> members, Forecast.Nodes nodes) {
    List<Member> free = new ArrayList<>();
    Forecast.Nodes left = nodes;
    List<Member> ordered =
        members.stream()
            .filter(member -> move.from().contains(member.stages()))
            .sorted(Comparator.comparingInt(RolePolicy::load))
            .toList();
    for (Member member : ordered) {
      boolean adds = move.to().containsAll(member.stages());
      Forecast.Nodes then = adds ? left : left.plus(member.stages(), -1);
      boolean kept =
          adds || member.stages().stream().allMatch(stage -> then.of(stage) >= rules.floor());
      if (kept && (adds || free.size() < AHEAD)) {
        free.add(member);
        left = then;
      }
    }
    return free;
  }

  private static int load(Member member) {
    return member.stages().stream().mapToInt(member::load).sum();
  }

  /** These nodes, as many at a time as may be. */
  private Forecast.Course course(Forecast.Nodes nodes, List<Member> moved, Set<Stage> to) {
    double switchS = switchMs / 1e3;
    double period =
        switchS + Math.max(rules.cooldown().toMillis(), LOOKS * PERIOD.toMillis()) / 1e3;
    return seconds -> {
      int turns = (int) Math.floor(seconds / period);
      int begun = Math.min(moved.size(), (1 + turns) * rules.atOnce());
      boolean away = seconds - turns * period < switchS;
      int done = away ? Math.min(moved.size(), turns * rules.atOnce()) : begun;
      Forecast.Nodes then = nodes;
      for (int i = 0; i < begun; i++) {
        Set<Stage> had = moved.get(i).stages();
        // What stages come to goes on meanwhile.
        boolean goesOn = i >= done && to.containsAll(had);
        then = goesOn ? then : then.plus(had, -1).plus(to, i < done ? 1 : 0);
      }
      return then;
    };
  }

  /** One with several stages counts for each. */
  private static Forecast.Nodes count(List<Member> members) {
    Forecast.Nodes nodes = new Forecast.Nodes(0, 0, 0);
    for (Member member : members) {
      nodes = nodes.plus(member.stages(), 1);
    }
    return nodes;
  }
}
