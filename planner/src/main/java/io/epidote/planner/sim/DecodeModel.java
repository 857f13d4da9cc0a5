package io.epidote.planner.sim;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.cost.CostStage;
import io.epidote.engine.cost.StepWork;
import io.epidote.engine.model.DecoderShape;
import io.epidote.node.MeasuredCost;
import io.epidote.node.StepCost;
import io.epidote.node.engine.TenantWeights;
import io.epidote.node.engine.Turns;
import io.epidote.node.kv.EarlyHolders;
import io.epidote.planner.sim.AnswerModel.Phase;
import io.epidote.planner.sim.PrefillModel.KvPart;
import io.epidote.proto.v1.DecodeLoad;
import io.epidote.proto.v1.NodeStatus;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * The decode stage: KV blocks come, answers get a token a step. Lengths of answers are known to the
 * budget here, so that nobody who was let in has to give up blocks.
 */
final class DecodeModel implements StageModel {
  private static final double MIB = 1 << 20;

  private final Events events;
  private final NodeModel node;
  private final ClusterShape shape;
  private final Turns turns;
  private final int maxBatch;
  private final int largest;
  private final StepCost steps = new StepCost(CostStage.DECODE);
  private final MeasuredCost pulls = new MeasuredCost();

  /** Those whose prompts are not all here. */
  private final Set<AnswerModel> entering = new LinkedHashSet<>();

  private final List<AnswerModel> paused = new ArrayList<>();
  private final List<AnswerModel> running = new ArrayList<>();
  private final List<AnswerModel> batch = new ArrayList<>();
  private StepWork.Decode work = new StepWork.Decode(0, 0, 0);
  private long batchNanos;
  private int pulling;

  DecodeModel(Events events, NodeModel node, ClusterShape shape) {
    this.events = events;
    this.node = node;
    this.shape = shape;
    this.turns = new Turns(shape.scheduling().decode(), TenantWeights.EQUAL);
    this.maxBatch = shape.scheduling().decodeBatch();
    this.largest = DecoderShape.blocksFor(shape.device().contextTokens());
  }

  /** KV blocks were announced; a command. */
  void kv(Flight flight, KvPart part, Runnable ended) {
    AnswerModel call = flight.answer;
    if (call == null) {
      call =
          new AnswerModel(
              flight,
              events.now(),
              node.kv().budget().claim(flight.request.promptTokens(), flight.options()),
              steps,
              shape.routing().targets().tpotMs(),
              ended);
      flight.answer = call;
      entering.add(call);
    }
    call.parts.add(part);
    call.covered += part.tokens();
    call.inputBlocks += part.blocks();
    if (flight.decodesWherePrefilled()) {
      node.prefill().released(part, true);
      call.blocks += part.blocks();
    } else if (call.phase == Phase.RECEIVING) {
      pull(call);
    }
    if (call.covered == flight.request.promptTokens()) {
      complete(call);
    }
  }

  private void complete(AnswerModel call) {
    call.complete(events.now());
    if (call.phase == Phase.RECEIVING) {
      startWhenReceived(call);
    } else if (call.flight.decodesWherePrefilled()) {
      call.claim.enter();
      entering.remove(call);
      ready(call);
    } else {
      call.phase = Phase.RESERVING;
      call.place = node.kv().blocks().line().enter(call.inputBlocks, turns, call);
    }
  }

  private void startWhenReceived(AnswerModel call) {
    if (call.complete && call.pulls == 0) {
      call.leaveEarly();
      entering.remove(call);
      ready(call);
    }
  }

  private void ready(AnswerModel call) {
    boolean place = call.phase == Phase.PULLING || places() > 0;
    if (call.phase == Phase.PULLING) {
      pulling--;
    }
    call.phase = place ? Phase.RUNNING : Phase.PAUSED;
    (place ? running : paused).add(call);
  }

  private int places() {
    return maxBatch - running.size() - pulling;
  }

  @Override
  public long begin() {
    boolean arranged = false;
    if (!entering.isEmpty()) {
      for (AnswerModel call : List.copyOf(entering)) {
        arranged |=
            switch (call.phase) {
              case AWAITING_INPUT -> beginEarly(call);
              case RESERVING -> admit(call);
              case RECEIVING, PULLING, RUNNING, PAUSED -> false;
            };
      }
    }
    resume();
    if (running.isEmpty()) {
      return arranged ? ARRANGED : IDLE;
    }
    batch.clear();
    double kvTokens = 0;
    for (AnswerModel call : running) {
      while (call.blocks < DecoderShape.blocksFor(call.past() + 1)) {
        if (!node.kv().blocks().tryTake(1)) {
          throw new IllegalStateException("an answer that was let in finds no KV block");
        }
        call.blocks++;
      }
      kvTokens += call.past() + 1;
      batch.add(call);
    }
    work =
        new StepWork.Decode(
            batch.size(), kvTokens, shape.device().experts().applyAsDouble(batch.size()));
    batchNanos = Math.max(1, Math.round(shape.device().decode().ms(work) * 1e6));
    return batchNanos;
  }

  private boolean beginEarly(AnswerModel call) {
    if (call.flight.decodesWherePrefilled()) {
      return false;
    }
    int most =
        DecoderShape.blocksFor(
            call.flight.request.promptTokens() + call.flight.request.answerTokens());
    Optional<EarlyHolders.Place> early = node.kv().early().tryEnter(most, largest);
    if (early.isEmpty()) {
      return false;
    }
    if (!take(call, DecoderShape.blocksFor(call.flight.request.promptTokens()))) {
      early.get().leave();
      return false;
    }
    call.early = early.get();
    call.phase = Phase.RECEIVING;
    pull(call);
    return true;
  }

  private boolean take(AnswerModel call, int blocks) {
    Blocks kv = node.kv().blocks();
    if (blocks > kv.free() || !call.claim.tryEnter()) {
      return false;
    }
    call.blocks += blocks;
    return kv.tryTake(blocks);
  }

  private boolean admit(AnswerModel call) {
    if (places() <= 0 || !requireNonNull(call.place).isNext() || !take(call, call.inputBlocks)) {
      return false;
    }
    call.leaveLine();
    call.phase = Phase.PULLING;
    pulling++;
    pull(call);
    return true;
  }

  /** Pulls the parts that were announced since the last time. */
  private void pull(AnswerModel call) {
    List<KvPart> parts = List.copyOf(call.parts.subList(call.begun, call.parts.size()));
    call.begun = call.parts.size();
    call.pulls++;
    long blockBytes = shape.device().kvBlockBytes();
    long bytes = 0;
    for (KvPart part : parts.subList(0, parts.size() - 1)) {
      bytes += part.blocks() * blockBytes;
      node.pull(part.blocks() * blockBytes, () -> {});
    }
    long last = parts.getLast().blocks() * blockBytes;
    double mib = (bytes + last) / MIB;
    long[] nanos = new long[1];
    nanos[0] =
        node.pull(
            last,
            () -> {
              pulls.add(mib, nanos[0]);
              call.pulls--;
              NodeModel from = call.flight.prefill;
              for (KvPart part : parts) {
                events.after(
                    shape.host().hopNanos(),
                    () -> from.execute(() -> from.prefill().released(part, false)));
              }
              arrived(call);
            });
  }

  private void arrived(AnswerModel call) {
    if (call.phase == Phase.PULLING) {
      if (call.pulls == 0) {
        entering.remove(call);
        ready(call);
      }
    } else {
      startWhenReceived(call);
    }
  }

  private void resume() {
    if (paused.isEmpty()) {
      return;
    }
    for (AnswerModel call : turns.sort(List.copyOf(paused), events.now())) {
      int active = running.size() + pulling;
      if (active != 0 && (active >= maxBatch || !call.claim.mayResume())) {
        return;
      }
      paused.remove(call);
      call.phase = Phase.RUNNING;
      running.add(call);
    }
  }

  @Override
  public void finish() {
    // As a node measures it, which does not know of experts.
    steps.add(work.withExperts(0), batchNanos);
    for (AnswerModel call : batch) {
      call.generated++;
      call.claim.generated(call.generated);
      if (call.generated == call.flight.request.answerTokens()) {
        call.claim.answered();
        call.claim.leave();
        node.kv().blocks().give(call.blocks);
        running.remove(call);
        call.ended.run();
      }
    }
  }

  /**
   * Gives up the answers whose prompts are here; a command. What they held is free.
   *
   * @return those, with the tokens that they have
   */
  List<AnswerModel> giveUp() {
    List<AnswerModel> given = new ArrayList<>(running);
    given.addAll(paused);
    running.clear();
    paused.clear();
    for (AnswerModel call : given) {
      call.claim.leave();
      node.kv().blocks().give(call.blocks);
    }
    return given;
  }

  @Override
  public boolean isIdle() {
    return entering.isEmpty() && paused.isEmpty() && running.isEmpty();
  }

  @Override
  public int queued() {
    return (int) entering.stream().filter(call -> call.complete).count() + paused.size();
  }

  @Override
  public void describe(NodeStatus.Builder status) {
    status.setDecode(
        DecodeLoad.newBuilder()
            .setStep(steps.toProto())
            .setPull(pulls.toProto())
            .setAnswers(entering.size() + paused.size() + running.size()));
    status.setAwaiting(
        status.getAwaiting() + (int) entering.stream().filter(call -> !call.complete).count());
  }
}
