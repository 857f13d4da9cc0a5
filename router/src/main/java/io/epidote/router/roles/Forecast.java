package io.epidote.router.roles;

import io.epidote.proto.v1.Stage;
import io.epidote.router.cluster.Demand;
import io.epidote.router.cluster.StageWork;
import java.util.Set;

/**
 * What share of requests will meet their targets over a horizon, with so many nodes for each stage:
 * a fluid model of three queues, in steps of a quarter of a second. Work arrives as it did of late
 * and meets what waits already; waiting beyond what the fluid has is that of a queue with random
 * arrivals (M/D/c, approximately). Decode shares its nodes among all answers, and those beyond a
 * node's blocks wait for others to end.
 *
 * @param rates what arrives
 * @param work what it costs
 * @param ttftMs target for the first token
 * @param tpotMs target for each token after it
 * @param horizonS how far to look
 */
public record Forecast(
    Demand.Rates rates, StageWork work, double ttftMs, double tpotMs, double horizonS) {
  private static final double STEP_S = 0.25;

  /** How sharply the share of answers falls where the time for a token meets its target. */
  private static final double SHARPNESS = 40;

  /** What being close to a target is worth where nothing meets it. */
  private static final double CLOSENESS = 0.5;

  /** Beyond this utilisation random arrivals are not what makes a queue long. */
  private static final double FULL = 0.95;

  /** What a node has that encodes and decodes at a time. */
  static final Set<Stage> SHARED = Set.of(Stage.STAGE_ENCODE, Stage.STAGE_DECODE);

  /**
   * Nodes for each stage.
   *
   * @param encode that encode, and so on; a node on its way from one stage to another is in none
   * @param shared that encode and decode, and are counted for both: they decode in the time in
   *     which they do not encode
   */
  public record Nodes(int encode, int prefill, int decode, int shared) {
    /** None of which has several stages. */
    public Nodes(int encode, int prefill, int decode) {
      this(encode, prefill, decode, 0);
    }

    int of(Stage stage) {
      return switch (stage) {
        case STAGE_ENCODE -> encode;
        case STAGE_PREFILL -> prefill;
        case STAGE_DECODE -> decode;
        case STAGE_UNSPECIFIED, UNRECOGNIZED -> 0;
      };
    }

    /** With so many more that have these stages. */
    Nodes plus(Set<Stage> stages, int more) {
      return new Nodes(
          encode + (stages.contains(Stage.STAGE_ENCODE) ? more : 0),
          prefill + (stages.contains(Stage.STAGE_PREFILL) ? more : 0),
          decode + (stages.contains(Stage.STAGE_DECODE) ? more : 0),
          shared + (stages.equals(SHARED) ? more : 0));
    }

    /** Of the decode nodes' time, what they have for it when encode nodes are so busy. */
    private double decodeShare(double encodeBusy) {
      return decode == 0 ? 1 : 1 - encodeBusy * shared / decode;
    }
  }

  /** Which nodes there are after so many seconds. */
  @FunctionalInterface
  public interface Course {
    Nodes at(double seconds);
  }

  /**
   * What is predicted.
   *
   * @param attainment share of requests that meet both targets
   * @param score the same, and a little for being close
   */
  public record Outcome(double attainment, double score) {}

  /** Nothing changes. */
  Outcome of(Nodes nodes) {
    return of(_ -> nodes);
  }

  /** Nodes change in that time. */
  Outcome of(Course course) {
    double perStep = rates.requestsS() * STEP_S;
    double encodeQueue = work.waitingEncodeMs();
    double prefillQueue = work.waitingPrefillMs();
    double answers = work.answers();
    int steps = (int) (horizonS / STEP_S);
    double[] waits = new double[steps];
    double[] services = new double[steps];
    double[] tokenMs = new double[steps];
    double length = Math.max(1, rates.answerTokens());
    for (int step = 0; step < steps; step++) {
      Nodes now = course.at(step * STEP_S);
      double encoded = perStep;
      double encodeWait = 0;
      double encodeBusy = 0;
      if (work.encodeMs() > 0) {
        double done =
            Math.min(encodeQueue + perStep * work.encodeMs(), now.encode() * STEP_S * 1e3);
        encodeQueue += perStep * work.encodeMs() - done;
        encoded = done / work.encodeMs();
        encodeBusy = now.encode() == 0 ? 0 : done / (now.encode() * STEP_S * 1e3);
        encodeWait = wait(encodeQueue, work.encodeMs(), now.encode());
      }
      double done =
          Math.min(prefillQueue + encoded * work.prefillMs(), now.prefill() * STEP_S * 1e3);
      prefillQueue += encoded * work.prefillMs() - done;
      double prefilled = work.prefillMs() > 0 ? done / work.prefillMs() : encoded;
      double prefillWait = wait(prefillQueue, work.prefillMs(), now.prefill());
      answers += prefilled;
      tokenMs[step] = tokenMs(answers, now, encodeBusy);
      answers = Math.max(0, answers - answers * STEP_S * 1e3 / (tokenMs[step] * length));
      services[step] =
          work.encodeMs() / Math.max(1, Math.min(now.encode(), rates.tiles())) + work.prefillMs();
      waits[step] = encodeWait + prefillWait;
    }
    double attained = 0;
    double close = 0;
    for (int step = 0; step < steps; step++) {
      double tpot = tpot(tokenMs, step, length);
      attained += meetsTtft(services[step], waits[step]) * meetsTpot(tpot);
      close += Math.min(1, ttftMs / (services[step] + waits[step])) * Math.min(1, tpotMs / tpot);
    }
    double attainment = attained / steps;
    return new Outcome(attainment, attainment + CLOSENESS * close / steps);
  }

  /**
   * Of an answer that begins in a step, on average over its tokens; after the horizon as in its
   * last step.
   */
  private static double tpot(double[] tokenMs, int from, double length) {
    double left = length;
    double ms = 0;
    for (int step = from; step < tokenMs.length && left > 0; step++) {
      double tokens = Math.min(left, STEP_S * 1e3 / tokenMs[step]);
      ms += tokens * tokenMs[step];
      left -= tokens;
    }
    return (ms + left * tokenMs[tokenMs.length - 1]) / length;
  }

  /**
   * What a token takes an answer, when so many share the nodes.
   *
   * @param encodeBusy share of their time in which encode nodes encode
   */
  double tokenMs(double answers, Nodes nodes, double encodeBusy) {
    double share = nodes.decodeShare(encodeBusy);
    if (nodes.decode() == 0 || share <= 0) {
      return Double.MAX_VALUE / 1e6;
    }
    double each = Math.max(1, answers / nodes.decode());
    double together = Math.min(each, work.answersPerNode());
    double step = work.decodeStepMs() + work.decodeAnswerMs() * together;
    return step * each / together / share;
  }

  /** Work that arrives in a second over what the nodes can do in it; 1 is full. */
  double utilisation(double requestMs, int nodes) {
    return nodes == 0 ? Double.POSITIVE_INFINITY : rates.requestsS() * requestMs / (nodes * 1e3);
  }

  private double wait(double queueMs, double requestMs, int nodes) {
    if (requestMs == 0) {
      return 0;
    }
    if (nodes == 0) {
      return Double.MAX_VALUE / 1e6;
    }
    double busy = Math.min(FULL, utilisation(requestMs, nodes));
    double random = Math.pow(busy, Math.sqrt(2.0 * (nodes + 1))) / (1 - busy);
    return queueMs / nodes + random * requestMs / (2 * nodes);
  }

  private double meetsTtft(double serviceMs, double waitMs) {
    double slack = ttftMs - serviceMs;
    if (slack <= 0) {
      return 0;
    }
    return waitMs <= 0 ? 1 : 1 - Math.exp(-slack / waitMs);
  }

  private double meetsTpot(double tokenMs) {
    return 1 / (1 + Math.exp(SHARPNESS * (tokenMs / tpotMs - 1)));
  }
}
