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
import io.epidote.planner.sim.PromptModel.Media;
import io.epidote.planner.sim.PromptModel.Phase;
import io.epidote.prefill.BatchPlan;
import io.epidote.prefill.Pauses;
import io.epidote.prefill.PrefillConfig;
import io.epidote.prefill.PromptChunks;
import io.epidote.proto.v1.Cost;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.PrefillLoad;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/** The prefill stage: media tokens come, prompts are run in chunks, KV blocks are offered. */
final class PrefillModel implements StageModel {
  private static final double MIB = 1 << 20;

  private final Events events;
  private final NodeModel node;
  private final ClusterShape shape;
  private final PrefillConfig config;
  private final PromptChunks chunks;
  private final boolean decodesHere;
  private final Turns turns;
  private final Blocks media;
  private final int largest;
  private final StepCost steps = new StepCost(CostStage.PREFILL);
  private final MeasuredCost pulls = new MeasuredCost();
  private final Pauses pauses = new Pauses();

  /** Those whose prompts are not done. */
  private final Set<PromptModel> calls = new LinkedHashSet<>();

  private final List<PromptModel> batch = new ArrayList<>();
  private StepWork.Prefill work = new StepWork.Prefill(0, 0, 0, 0);
  private long batchNanos;

  /** Who is told of a prompt; in the router. */
  interface Told {
    void firstToken();

    /** KV blocks from here on are ready. */
    void kv(KvPart part);
  }

  /**
   * KV blocks of a part of a prompt, leased until they are pulled.
   *
   * @param tokens in them
   */
  record KvPart(PromptModel prompt, int tokens, int blocks) {}

  PrefillModel(Events events, NodeModel node, ClusterShape shape, int tiles, boolean decodesHere) {
    this.events = events;
    this.node = node;
    this.shape = shape;
    this.config = shape.scheduling().prefill();
    this.chunks = new PromptChunks(config);
    this.decodesHere = decodesHere;
    this.turns = new Turns(config.order(), TenantWeights.EQUAL);
    this.media = new Blocks(Math.max(1, tiles), events::now);
    this.largest = DecoderShape.blocksFor(shape.device().contextTokens());
  }

  /** A prompt came; a command. */
  void start(Flight flight, boolean mediaFirst, boolean kvLast, OptionalLong deadline, Told told) {
    PromptModel call =
        new PromptModel(flight, mediaFirst, kvLast, events.now(), deadline, steps, told);
    calls.add(call);
    flight.prompt = call;
    if (call.spans() == 0) {
      inputComplete(call);
    }
  }

  /** A tile's media tokens are ready at a node; a command. */
  void announced(PromptModel call, int span, NodeModel at) {
    call.announce(span, at, at == node);
    if (at == node) {
      arrived(call);
    }
  }

  private void arrived(PromptModel call) {
    if (call.allMediaHere()) {
      inputComplete(call);
    }
  }

  private void inputComplete(PromptModel call) {
    call.leaveEarly();
    if (call.phase == Phase.STREAMING) {
      call.phase = Phase.RUNNING;
    } else {
      call.phase = Phase.RESERVING_KV;
      makeClaim(call);
      call.place = node.kv().blocks().line().enter(call.promptBlocks(), turns, call);
    }
  }

  private void makeClaim(PromptModel call) {
    if (decodesHere && call.claim == null) {
      call.claim = node.kv().budget().claim(call.tokens(), call.flight.options());
    }
  }

  @Override
  public long begin() {
    boolean arranged = false;
    for (PromptModel call : calls) {
      arranged |=
          switch (call.phase) {
            case AWAITING_MEDIA -> chooseWay(call);
            case RESERVING_MEDIA -> pullAll(call);
            case STREAMING -> pullNext(call);
            case RESERVING_KV -> takeInTurn(call);
            case PULLING, RUNNING, DONE -> false;
          };
    }
    schedule();
    if (batch.isEmpty()) {
      pauses.idle();
      return arranged ? ARRANGED : IDLE;
    }
    pauses.begin(events.now());
    batchNanos = Math.max(1, Math.round(shape.device().prefill().ms(work) * 1e6));
    return batchNanos;
  }

  private boolean hasWork(PromptModel call) {
    return nextChunk(call) > 0;
  }

  private int nextChunk(PromptModel call) {
    if (call.phase == Phase.STREAMING && !media.line().isEmpty() && call.hasPulled()) {
      return chunks.makingRoom(call.done, call.known());
    }
    return chunks.next(call.tokens(), call.done, call.known(), call.kvLast);
  }

  private boolean chooseWay(PromptModel call) {
    boolean useful = call.isRemote(call.firstMissing()) || hasWork(call);
    if (!call.mediaFirst && useful && beginEarly(call)) {
      return true;
    }
    if (!call.allMediaAnnounced()) {
      return false;
    }
    call.phase = Phase.RESERVING_MEDIA;
    call.place = media.line().enter(call.remoteSpans().size(), turns, call);
    return true;
  }

  private boolean beginEarly(PromptModel call) {
    int needed =
        decodesHere
            ? DecoderShape.blocksFor(call.tokens() + call.flight.request.answerTokens())
            : call.promptBlocks();
    Optional<EarlyHolders.Place> early = node.kv().early().tryEnter(needed, largest);
    if (early.isEmpty()) {
      return false;
    }
    makeClaim(call);
    if (!takeBlocks(call)) {
      early.get().leave();
      return false;
    }
    call.early = early.get();
    call.phase = Phase.STREAMING;
    return true;
  }

  private boolean takeBlocks(PromptModel call) {
    Blocks kv = node.kv().blocks();
    if (call.promptBlocks() > kv.free() || (call.claim != null && !call.claim.tryEnter())) {
      return false;
    }
    return kv.tryTake(call.promptBlocks());
  }

  private boolean takeInTurn(PromptModel call) {
    if (!requireNonNull(call.place).isNext() || !takeBlocks(call)) {
      return false;
    }
    call.leaveLine();
    call.phase = Phase.RUNNING;
    return true;
  }

  private boolean pullAll(PromptModel call) {
    List<Integer> spans = call.remoteSpans();
    if (!requireNonNull(call.place).isNext() || !media.tryTake(spans.size())) {
      return false;
    }
    call.leaveLine();
    call.phase = Phase.PULLING;
    pull(call, spans);
    return true;
  }

  private boolean pullNext(PromptModel call) {
    boolean any = false;
    for (int span = call.firstMissing(); span < call.spans() && !call.isAwaited(span); span++) {
      if (!call.isRemote(span)) {
        continue;
      }
      if (call.place == null) {
        call.place = media.line().enter(1, turns, call);
      }
      if (!call.place.isNext() || !media.tryTake(1)) {
        break;
      }
      call.leaveLine();
      pull(call, List.of(span));
      any = true;
    }
    return any;
  }

  private void pull(PromptModel call, List<Integer> spans) {
    spans.forEach(span -> call.media[span] = Media.ARRIVING);
    long tileBytes = shape.device().tileBytes();
    long[] nanos = new long[1];
    // Pieces of a group are asked for one after the other; the group is here with its last.
    for (int i = 0; i < spans.size() - 1; i++) {
      node.pull(tileBytes, () -> {});
    }
    nanos[0] =
        node.pull(
            tileBytes,
            () -> {
              pulls.add(spans.size() * tileBytes / MIB, nanos[0]);
              for (int span : spans) {
                call.media[span] = Media.PULLED;
                call.at[span].encode().released();
              }
              arrived(call);
            });
  }

  /** Prompts in the order of their turns, as many as fit the budget and pay. */
  private void schedule() {
    batch.clear();
    List<PromptModel> runnable = new ArrayList<>();
    for (PromptModel call : calls) {
      if ((call.phase == Phase.RUNNING || call.phase == Phase.STREAMING) && hasWork(call)) {
        runnable.add(call);
      }
    }
    if (runnable.isEmpty()) {
      return;
    }
    List<PromptModel> next = turns.sort(runnable, events.now());
    Cost cost = config.planned() ? steps.toProto() : Cost.getDefaultInstance();
    BatchPlan plan = new BatchPlan(cost.getFixedMs() + pauses.ms(), cost.getUnitMs());
    int looked = config.planned() ? next.size() : Math.min(next.size(), config.maxSequences());
    List<BatchPlan.Prompt> row = new ArrayList<>(looked);
    for (PromptModel call : next.subList(0, looked)) {
      row.add(new BatchPlan.Prompt(call.tokens() - call.done, nextChunk(call)));
    }
    int size = plan.next(row, config.tokenBudget(), config.maxSequences());
    double tokens = 0;
    double pairs = 0;
    double cached = 0;
    for (PromptModel call : next.subList(0, size)) {
      double count = nextChunk(call);
      call.chunk = (int) count;
      tokens += count;
      pairs += count * (call.done + count / 2);
      cached += call.done;
      batch.add(call);
    }
    work =
        new StepWork.Prefill(tokens, pairs, cached, shape.device().experts().applyAsDouble(tokens));
  }

  @Override
  public void finish() {
    // As a node measures it, which does not know of experts.
    steps.add(work.withExperts(0), batchNanos);
    pauses.end(events.now());
    for (PromptModel call : List.copyOf(batch)) {
      call.done += call.chunk;
      releaseUsedMedia(call);
      if (call.done == call.tokens()) {
        done(call);
      } else {
        offer(call);
      }
    }
  }

  private void releaseUsedMedia(PromptModel call) {
    while (call.used < call.spans() && call.span(call.used).end() <= call.done) {
      if (call.media[call.used] == Media.SHARED) {
        node.encode().released();
      } else {
        media.give(1);
      }
      call.media[call.used++] = Media.USED;
    }
  }

  /** Whole blocks that are done, when there are enough of them. */
  private void offer(PromptModel call) {
    int whole = call.done - call.done % DecoderShape.BLOCK_TOKENS;
    if (!call.kvLast
        && call.flight.request.answerTokens() > 1
        && whole - call.offered >= config.partTokens()) {
      announce(call, whole);
    }
  }

  private void announce(PromptModel call, int end) {
    int blocks = DecoderShape.blocksFor(end) - call.offered / DecoderShape.BLOCK_TOKENS;
    KvPart part = new KvPart(call, end - call.offered, blocks);
    call.offered = end;
    call.leases++;
    call.told.kv(part);
  }

  private void done(PromptModel call) {
    calls.remove(call);
    call.phase = Phase.DONE;
    call.told.firstToken();
    if (call.flight.request.answerTokens() > 1) {
      announce(call, call.tokens());
    } else {
      node.kv().blocks().give(call.promptBlocks());
    }
    node.kv().blocks().give(call.releasedBlocks);
    call.releasedBlocks = 0;
    leaveBudget(call);
  }

  /** A part was pulled, or taken over by the decode stage of this node; a command. */
  void released(KvPart part, boolean takenOver) {
    PromptModel call = part.prompt();
    call.leases--;
    if (!takenOver) {
      if (call.phase == Phase.DONE) {
        node.kv().blocks().give(part.blocks());
      } else {
        call.releasedBlocks += part.blocks();
      }
    }
    leaveBudget(call);
  }

  private static void leaveBudget(PromptModel call) {
    if (call.phase == Phase.DONE && call.leases == 0 && call.claim != null) {
      call.claim.leave();
    }
  }

  int mediaUsed() {
    return media.used();
  }

  @Override
  public boolean isIdle() {
    return calls.isEmpty();
  }

  @Override
  public int queued() {
    return (int)
        calls.stream()
            .filter(call ->
                switch (call.phase) {
                  case AWAITING_MEDIA -> call.allMediaAnnounced();
                  case RESERVING_MEDIA, PULLING, RESERVING_KV -> true;
                  case STREAMING, RUNNING, DONE -> false;
                })
            .count();
  }

  @Override
  public void describe(NodeStatus.Builder status) {
    status.setPrefill(
        PrefillLoad.newBuilder()
            .setStep(steps.toProto())
            .setPull(pulls.toProto())
            .setWaitingTokens(calls.stream().mapToLong(call -> call.tokens() - call.done).sum()));
  }
}
