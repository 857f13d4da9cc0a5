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

  /** Requests a second of each kind, where there is no other. */
  private static final double SHORT_RATE = 5;

  private static final double LONG_RATE = 3;

  /** In a burst; eight devices serve both, each at its time. */
  private static final double SHORT_IN_BURST = 4;

  private static final double LONG_IN_BURST = 1;

  /** And where there is: eight devices serve them, if each does what is needed. */
  private static final double SHORT_SHARE = 0.5;

  private static final double LONG_SHARE = 0.4;

  /** A stretch of a trace with requests of one kind. */
  private record Stretch(Request kind, double rate, double fromS, double toS) {}

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
    Request pictures = kinds.get(0);
    Request answers = kinds.get(1);
    List<Stretch> stretches =
        switch (this) {
          case PHASES -> turns(pictures, answers, PHASE_S, seconds);
          case OSCILLATING -> turns(pictures, answers, OSCILLATION_S, seconds);
          case STEADY ->
              List.of(
                  new Stretch(pictures, SHORT_SHARE * SHORT_RATE, 0, seconds),
                  new Stretch(answers, LONG_SHARE * LONG_RATE, 0, seconds));
          case BURSTY -> bursts(pictures, answers, seconds, random);
        };
    List<Sending> counted = new ArrayList<>();
    for (Stretch stretch : stretches) {
      for (double at = stretch.fromS() + gap(random, stretch.rate());
          at < stretch.toS();
          at += gap(random, stretch.rate())) {
        counted.add(new Sending(WARM_UP * APART_MS + at * 1000, stretch.kind()));
      }
    }
    counted.sort(Comparator.comparingDouble(Sending::ms));
    List<Sending> all = new ArrayList<>();
    for (int i = 0; i < WARM_UP; i++) {
      all.add(new Sending(i * APART_MS, kinds.get(i % 2)));
    }
    all.addAll(counted);
    return new Schedule(all, WARM_UP);
  }

  private static List<Stretch> turns(
      Request pictures, Request answers, double length, double seconds) {
    List<Stretch> stretches = new ArrayList<>();
    boolean first = true;
    for (double from = 0; from < seconds; from += length) {
      double to = Math.min(seconds, from + length);
      stretches.add(
          first
              ? new Stretch(pictures, SHORT_RATE, from, to)
              : new Stretch(answers, LONG_RATE, from, to));
      first = !first;
    }
    return stretches;
  }

  /** Of each kind, a Poisson process whose rate changes at times that are exponential, too. */
  private static List<Stretch> bursts(
      Request pictures, Request answers, double seconds, SplittableRandom random) {
    List<Stretch> stretches = new ArrayList<>();
    double before = 0;
    while (before < seconds) {
      double from = Math.min(seconds, before + gap(random, 1 / BURST_S));
      double to = Math.min(seconds, from + gap(random, 1 / BURST_S));
      stretches.add(new Stretch(answers, LONG_RATE, before, from));
      stretches.add(new Stretch(answers, LONG_IN_BURST, from, to));
      stretches.add(new Stretch(pictures, SHORT_IN_BURST, from, to));
      before = to;
    }
    return stretches;
  }

  private static double gap(SplittableRandom random, double rate) {
    return -Math.log(1 - random.nextDouble()) / rate;
  }
}
