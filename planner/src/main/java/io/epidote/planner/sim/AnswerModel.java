package io.epidote.planner.sim;

import io.epidote.engine.cost.StepWork;
import io.epidote.node.StepCost;
import io.epidote.node.engine.Flow;
import io.epidote.node.engine.Line;
import io.epidote.node.engine.Waiting;
import io.epidote.node.kv.EarlyHolders;
import io.epidote.node.kv.KvBudget;
import io.epidote.planner.sim.PrefillModel.KvPart;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/** One answer at a decode stage: how far it is and what it holds. */
final class AnswerModel implements Waiting {
  /** As those of a real decode stage. */
  enum Phase {
    AWAITING_INPUT,
    RECEIVING,
    RESERVING,
    PULLING,
    RUNNING,
    PAUSED
  }

  final Flight flight;
  final KvBudget.Claim claim;
  final Runnable ended;
  final List<KvPart> parts = new ArrayList<>();
  Phase phase = Phase.AWAITING_INPUT;
  Line.@Nullable Place place;
  EarlyHolders.@Nullable Place early;
  boolean complete;

  /** Prompt tokens of the parts. */
  int covered;

  /** Blocks of the parts. */
  int inputBlocks;

  /** Parts whose pulls have begun. */
  int begun;

  /** Pulls under way. */
  int pulls;

  /** Blocks that it holds. */
  int blocks;

  /** Tokens, the first one included. */
  int generated = 1;

  private final StepCost cost;
  private final OptionalDouble tpotMs;
  private long since;
  private OptionalLong deadline = OptionalLong.empty();

  AnswerModel(
      Flight flight,
      long since,
      KvBudget.Claim claim,
      StepCost cost,
      OptionalDouble tpotMs,
      Runnable ended) {
    this.flight = flight;
    this.since = since;
    this.claim = claim;
    this.cost = cost;
    this.tpotMs = tpotMs;
    this.ended = ended;
  }

  void complete(long now) {
    complete = true;
    claim.generated(1);
    since = now;
    deadline = Waiting.deadline(now, tpotMs.isPresent(), tpotMs.orElse(0) * claim.expectedTokens());
  }

  /** Tokens that have keys and values. */
  int past() {
    return flight.request.promptTokens() + generated - 1;
  }

  void leaveEarly() {
    if (early != null) {
      early.leave();
      early = null;
    }
  }

  void leaveLine() {
    if (place != null) {
      place.leave();
      place = null;
    }
  }

  @Override
  public long since() {
    return since;
  }

  @Override
  public OptionalLong deadline() {
    return deadline;
  }

  @Override
  public Flow flow() {
    return Flow.NONE;
  }

  @Override
  public double remainingWork() {
    return claim.expectedTokens();
  }

  @Override
  public double remainingMs() {
    return claim.expectedTokens() * cost.ms(new StepWork.Decode(1, past() + 1, 0));
  }
}
