package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Schedule;
import io.epidote.planner.sim.Schedule.Sending;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.stream.Collectors;

/**
 * Loads whose demand for stages changes, or does not: requests with two large pictures and a short
 * answer keep encode nodes busy, those with one and a long answer decode nodes.
 */
enum RoleTrace {
  /** The one for a while, then the other, and again. */
  PHASES,
  /** Long answers, and bursts of the others that begin and end at random, with few of the first. */
  BURSTY,
  /** A mix that does not change. */
  STEADY,
  /** As phases, but the load turns as soon as it could have been followed. */
  OSCILLATING;

  /**
   * What {@link PlanWorkload} reads; the first is for encode nodes, the second for decode nodes.
   */
  static final String KINDS =
      "pictures=2,size=4032x3024,words=22,answer=30;pictures=1,size=4032x3024,words=22,answer=400";

  private static final double PHASE_S = 60;
  private static final double BURST_S = 40;
  private static final double OSCILLATION_S = 6;
  private static final int WARM_UP = 20;
  private static final double APART_MS = 500;

  /**
   * What arrives at a time. Each is what eight devices can do, with a fifth to spare, if all of
   * them do what it needs; so a router that is quick enough attains nearly all.
   *
   * @param pictures requests a second with two pictures and a short answer
   * @param answers requests a second with one picture and a long answer
   */
  record Load(double pictures, double answers) {}

  private static final Load PICTURES = new Load(4, 0);
  private static final Load ANSWERS = new Load(0, 3);
  private static final Load BURST = new Load(3, 0.75);
  private static final Load BOTH = new Load(2, 1.2);
  static final List<Load> LOADS = List.of(PICTURES, ANSWERS, BURST, BOTH);

  private record Stretch(Load load, double fromS, double toS) {}

  static RoleTrace ofWord(String word) {
    return Arrays.stream(values())
        .filter(trace -> trace.word().equals(word))
        .findFirst()
        .orElseThrow(() ->
            new InvalidRequest(
                "'%s' is no trace; expected %s"
                    .formatted(
                        word,
                        Arrays.stream(values())
                            .map(RoleTrace::word)
                            .collect(Collectors.joining(", ")))));
  }

  String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /**
   * The trace, after some requests one by one while nodes learn what they cost.
   *
   * @param kinds of {@link #KINDS}
   * @param seconds how long it is
   * @param seed decides all that is random
   */
  Schedule schedule(List<Request> kinds, double seconds, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    List<Stretch> stretches =
        switch (this) {
          case PHASES -> turns(PHASE_S, seconds);
          case OSCILLATING -> turns(OSCILLATION_S, seconds);
          case STEADY -> List.of(new Stretch(BOTH, 0, seconds));
          case BURSTY -> bursts(seconds, random);
        };
    List<Sending> counted = new ArrayList<>();
    for (Stretch stretch : stretches) {
      add(counted, kinds.get(0), stretch.load().pictures(), stretch, random);
      add(counted, kinds.get(1), stretch.load().answers(), stretch, random);
    }
    counted.sort(Comparator.comparingDouble(Sending::ms));
    List<Sending> all = new ArrayList<>();
    for (int i = 0; i < WARM_UP; i++) {
      all.add(new Sending(i * APART_MS, kinds.get(i % 2)));
    }
    all.addAll(counted);
    return new Schedule(all, WARM_UP);
  }

  private static void add(
      List<Sending> to, Request kind, double rate, Stretch stretch, SplittableRandom random) {
    if (rate == 0) {
      return;
    }
    for (double at = stretch.fromS() + gap(random, rate);
        at < stretch.toS();
        at += gap(random, rate)) {
      to.add(new Sending(WARM_UP * APART_MS + at * 1000, kind));
    }
  }

  private static List<Stretch> turns(double length, double seconds) {
    List<Stretch> stretches = new ArrayList<>();
    boolean first = true;
    for (double from = 0; from < seconds; from += length) {
      stretches.add(
          new Stretch(first ? PICTURES : ANSWERS, from, Math.min(seconds, from + length)));
      first = !first;
    }
    return stretches;
  }

  /** Of each kind, a Poisson process whose rate changes at times that are exponential, too. */
  private static List<Stretch> bursts(double seconds, SplittableRandom random) {
    List<Stretch> stretches = new ArrayList<>();
    double before = 0;
    while (before < seconds) {
      double from = Math.min(seconds, before + gap(random, 1 / BURST_S));
      double to = Math.min(seconds, from + gap(random, 1 / BURST_S));
      stretches.add(new Stretch(ANSWERS, before, from));
      stretches.add(new Stretch(BURST, from, to));
      before = to;
    }
    return stretches;
  }

  private static double gap(SplittableRandom random, double rate) {
    return -Math.log(1 - random.nextDouble()) / rate;
  }
}
