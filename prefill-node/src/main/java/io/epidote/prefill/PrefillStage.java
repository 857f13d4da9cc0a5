package io.epidote.prefill;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.cost.CostStage;
import io.epidote.engine.cost.StepWork;
import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.KeyChain;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.LoadedAdapter;
import io.epidote.engine.model.Logits;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.sampling.BatchSampler;
import io.epidote.engine.sampling.SampledToken;
import io.epidote.engine.tier.AdapterUse;
import io.epidote.node.NodeConfig.Limits;
import io.epidote.node.NodeContext;
import io.epidote.node.Stage;
import io.epidote.node.StageLoad;
import io.epidote.node.StepCost;
import io.epidote.node.engine.AdapterCap;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.engine.Turns;
import io.epidote.node.kv.KvMemory;
import io.epidote.node.lease.LeaseEnd;
import io.epidote.node.wire.SamplingMessages;
import io.epidote.proto.stage.v1.FirstToken;
import io.epidote.proto.stage.v1.PrefillResponse;
import io.epidote.proto.stage.v1.PrefillStart;
import io.epidote.proto.stage.v1.StageDone;
import io.epidote.proto.v1.Cost;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.PrefillLoad;
import io.epidote.proto.v1.StageTiming;
import io.grpc.BindableService;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Runs prompts, several in a step, samples their first tokens and leases their KV blocks out. How a
 * prompt gets its input is in {@link PrefillIntake}, its KV blocks in {@link KvRoom}, and how they
 * are announced in {@link KvOffer}.
 */
public final class PrefillStage implements Stage {
  private final NodeContext node;
  private final Decoder decoder;
  private final BatchSampler sampler;
  private final KvMemory kv;
  private final PrefillConfig config;
  private final PromptChunks chunks;
  private final Turns turns;
  private final AdapterCap<LoadedAdapter> cap;
  private final KvRoom room;
  private final KvOffer offer;
  private final PrefillIntake intake;
  private final Set<PrefillCall> calls = new LinkedHashSet<>();
  private final StepCost steps = new StepCost(CostStage.PREFILL);
  private final Pauses pauses = new Pauses();

  private record Work(PrefillCall call, SequenceChunk chunk) {}

  /**
   * @param decoder used by the engine thread alone; closed by the node
   * @param sampler likewise
   * @param kv blocks of {@link DecoderShape#kvBlockBytes()}; shared with the decode stage of this
   *     node, if there is one
   * @param media blocks that hold a tile's media tokens, to pull into
   */
  public PrefillStage(
      NodeContext node,
      Decoder decoder,
      BatchSampler sampler,
      KvMemory kv,
      BlockQueue media,
      PrefillConfig config) {
    this.node = requireNonNull(node, "node is null");
    this.decoder = requireNonNull(decoder, "decoder is null");
    this.sampler = requireNonNull(sampler, "sampler is null");
    this.kv = requireNonNull(kv, "kv is null");
    this.config = requireNonNull(config, "config is null");
    this.chunks = new PromptChunks(config);
    this.turns = new Turns(config.order(), node.sharing().tenants());
    this.cap = new AdapterCap<>(node.sharing().adaptersPerBatch());
    this.room = new KvRoom(kv, node.meters(), config, turns, decoder.shape().contextTokens());
    this.offer = new KvOffer(node.leases(), kv.pool(), config.partTokens(), this::leaseOver);
    this.intake = new PrefillIntake(node, this, decoder.shape(), media, calls);
    if (kv.pool().blockBytes() != decoder.shape().kvBlockBytes()) {
      throw new IllegalArgumentException(
          "kv blocks have %d bytes, but the decoder's have %d"
              .formatted(kv.pool().blockBytes(), decoder.shape().kvBlockBytes()));
    }
  }

  @Override
  public io.epidote.proto.v1.Stage kind() {
    return io.epidote.proto.v1.Stage.STAGE_PREFILL;
  }

  /** Of the weights that this stage computes with. */
  String precision() {
    return decoder.precision();
  }

  @Override
  public List<BindableService> services() {
    return List.of(intake);
  }

  Turns turns() {
    return turns;
  }

  /** Of a step. */
  StepCost cost() {
    return steps;
  }

  /** For the keys of a prompt's blocks. */
  KeyChain keyChain(PrefillStart start, Optional<LoadedAdapter> adapter) {
    return room.keyChain(
        adapter.map(LoadedAdapter::digest).orElse(""),
        HexFormat.of().formatHex(start.getCacheSalt().toByteArray()));
  }

  /**
   * Takes the adapter that a request names, for as long as the request lives.
   *
   * @throws EpidoteException.NotFound when this node does not have it
   */
  Optional<LoadedAdapter> takeAdapter(String name) {
    return name.isEmpty() ? Optional.empty() : Optional.of(decoder.adapters().take(name));
  }

  void giveAdapter(Optional<LoadedAdapter> adapter) {
    adapter.ifPresent(decoder.adapters()::give);
  }

  /** Says that the request will need its adapter. */
  void nameAdapter(PrefillCall call) {
    call.use = call.adapter.map(adapter -> decoder.adapters().tiers().enter(adapter.entry()));
  }

  /** Those whose adapters are hot; the others wait, as long as for anything. */
  private List<PrefillCall> withAdapters(List<PrefillCall> turns) {
    List<PrefillCall> ready = decoder.adapters().tiers().ready(turns, call -> call.use);
    if (ready.size() < turns.size()) {
      long most = node.limits().maxWait().toNanos();
      turns.stream()
          .filter(call -> !ready.contains(call))
          .filter(call -> call.use.stream().anyMatch(use -> use.waitedNanos() > most))
          .forEach(call -> fail(call, intake.waitedTooLong("adapter")));
    }
    return ready;
  }

  /** Refuses a prompt that does not even fit an empty pool. */
  void checkFits(PrefillCall call) {
    room.checkFits(call);
  }

  /** Media tokens came, or none were needed up to the first tile. */
  void moreKnown(PrefillCall call) {
    int before = call.done;
    room.moreKnown(call);
    if (call.done > before) {
      call.releaseUsedMedia();
      offer.found(call);
    }
  }

  /** Whether a step would be worth while with what is here of a prompt. */
  boolean hasWork(PrefillCall call) {
    return nextChunk(call) > 0;
  }

  private int nextChunk(PrefillCall call) {
    if (call.phase() == PrefillPhase.STREAMING && intake.isShortOfRoom() && call.hasPulled()) {
      return chunks.makingRoom(call.done, call.known());
    }
    return chunks.next(call.tokens.length, call.done, call.known(), call.kvLast);
  }

  /** Runs what is here of a prompt while its tiles are still being encoded, if that can be done. */
  boolean beginEarly(PrefillCall call) {
    if (!room.tryTakeEarly(call)) {
      return false;
    }
    call.newsAt = System.nanoTime();
    call.presence.enter();
    call.become(PrefillPhase.STREAMING);
    offer.found(call);
    return true;
  }

  /** All media tokens are here. */
  void inputComplete(PrefillCall call) {
    call.leaveEarly();
    call.presence.enter();
    if (call.phase() == PrefillPhase.STREAMING) {
      call.account.startWaiting();
      call.become(PrefillPhase.RUNNING);
    } else {
      call.become(PrefillPhase.RESERVING_KV);
      room.enterLine(call);
      call.account.startWaiting();
    }
  }

  @Override
  public boolean runStep() {
    boolean reserved = intake.reserve() | reserve();
    List<Work> batch = schedule();
    if (batch.isEmpty()) {
      pauses.idle();
      return reserved;
    }
    long start = System.nanoTime();
    pauses.begin(start);
    List<SampledToken> tokens = run(batch);
    if (tokens != null) {
      postprocess(batch, tokens, System.nanoTime() - start);
    }
    pauses.end(System.nanoTime());
    return true;
  }

  private boolean reserve() {
    boolean any = false;
    for (PrefillCall call : List.copyOf(calls)) {
      if (call.phase() != PrefillPhase.RESERVING_KV) {
        continue;
      }
      if (room.tryTake(call)) {
        call.become(PrefillPhase.RUNNING);
        call.releaseUsedMedia();
        offer.found(call);
        any = true;
      } else if (call.account.waitingNanos() > node.limits().maxWait().toNanos()) {
        fail(call, intake.waitedTooLong("KV blocks"));
      }
    }
    return any;
  }

  /**
   * Prompts in the order of their turns, as many as fit the budget and pay; those that wait for
   * their tiles, or whose adapters are too many for a step, are passed over. Where a prompt is cut
   * depends on what of it is here, never on what shares its step. At fp32 and int8 its numbers do
   * not depend on the cuts at all.
   */
  private List<Work> schedule() {
    List<PrefillCall> sorted = turns.sort(runnable(), System.nanoTime());
    List<PrefillCall> hot = withAdapters(sorted);
    if (hot.isEmpty()) {
      return List.of();
    }
    List<PrefillCall> next = cap.first(hot, call -> call.adapter);
    node.meters().passedOver(kind(), hot.size() - next.size());
    Cost cost = config.planned() ? steps.toProto() : Cost.getDefaultInstance();
    BatchPlan plan = new BatchPlan(cost.getFixedMs() + pauses.ms(), cost.getUnitMs());
    List<BatchPlan.Prompt> row =
        next.stream()
            .map(call -> new BatchPlan.Prompt(call.tokens.length - call.done, nextChunk(call)))
            .toList();
    int size = plan.next(row, config.tokenBudget(), config.maxSequences());
    List<Work> batch = new ArrayList<>();
    for (PrefillCall call : next.subList(0, size)) {
      call.account.stopWaiting();
      call.use.ifPresent(AdapterUse::tryPin);
      batch.add(new Work(call, call.chunk(nextChunk(call))));
    }
    return batch;
  }

  private List<PrefillCall> runnable() {
    return calls.stream()
        .filter(
            call -> call.phase() == PrefillPhase.RUNNING || call.phase() == PrefillPhase.STREAMING)
        .filter(this::hasWork)
        .toList();
  }

  /** The first tokens of the prompts that are complete, in order; null when the step failed. */
  private @Nullable List<SampledToken> run(List<Work> batch) {
    try {
      Logits logits = decoder.step(kv.pool(), batch.stream().map(Work::chunk).toList());
      return sampler.sample(
          logits,
          batch.stream()
              .filter(work -> work.chunk().wantLogits())
              .map(work -> work.call().firstToken(config.eosIds()))
              .toList());
    } catch (RuntimeException | Error e) {
      EpidoteException told =
          e instanceof EpidoteException known
              ? known
              : new EpidoteException.Internal("The decoder failed on this request's prompt.", e);
      batch.forEach(work -> fail(work.call(), told));
      if (e instanceof Error error) {
        throw error;
      }
      return null;
    }
  }

  private void postprocess(List<Work> batch, List<SampledToken> sampled, long nanos) {
    int row = 0;
    int tokens = 0;
    for (Work work : batch) {
      PrefillCall call = work.call();
      int count = work.chunk().tokenIds().length;
      tokens += count;
      call.done += count;
      call.begun = true;
      call.presence.charge(count);
      call.newsAt = System.nanoTime();
      call.account.computed(nanos, count);
      call.releaseUsedMedia();
      if (work.chunk().wantLogits()) {
        promptDone(call, sampled.get(row++));
      } else {
        offer.progress(call, call.done + nextChunk(call) == call.tokens.length);
        if (call.phase() == PrefillPhase.STREAMING) {
          // Its next tile may be at a node that waits for others of this one.
          call.use.ifPresent(AdapterUse::rest);
        }
      }
    }
    steps.add(StepWork.Prefill.of(batch.stream().map(Work::chunk).toList()), nanos);
    node.meters().step(kind(), nanos, tokens);
  }

  private void promptDone(PrefillCall call, SampledToken token) {
    room.cache(call);
    call.presence.leave();
    FinishReason finish =
        SamplingMessages.finish(token.tokenId(), 1, call.options, config.eosIds());
    call.reply.send(
        PrefillResponse.newBuilder()
            .setFirstToken(
                FirstToken.newBuilder()
                    .setToken(SamplingMessages.token(token))
                    .setFinishReason(finish)
                    .setAdapterDigest(call.adapter.map(LoadedAdapter::digest).orElse("")))
            .build());
    if (finish == FinishReason.FINISH_REASON_UNSPECIFIED) {
      offer.rest(call);
    }
    // What is leased has references of its own from here on, and needs no adapter.
    room.release(call);
    call.use.ifPresent(AdapterUse::leave);
    call.become(PrefillPhase.LEASED);
    StageTiming timing = call.account.timing();
    node.meters().requestDone(timing);
    call.reply.send(
        PrefillResponse.newBuilder().setDone(StageDone.newBuilder().setTiming(timing)).build());
    completeWhenReleased(call);
  }

  private void completeWhenReleased(PrefillCall call) {
    if (call.phase() == PrefillPhase.LEASED && call.openLeases == 0) {
      end(call);
      call.reply.complete();
    }
  }

  private void leaseOver(PrefillCall call, LeaseEnd end) {
    if (!calls.contains(call)) {
      leaveBudget(call);
    } else if (end == LeaseEnd.RELEASED) {
      completeWhenReleased(call);
    } else {
      fail(
          call,
          new EpidoteException.Unavailable(
              "The KV blocks of the prompt were not pulled within %s; run the prompt again."
                  .formatted(Limits.words(node.limits().lease()))));
    }
  }

  /** What a lease still holds counts until it is freed. */
  private static void leaveBudget(PrefillCall call) {
    if (call.openLeases == 0) {
      call.leaveBudget();
    }
  }

  void cancelled(PrefillCall call) {
    if (calls.contains(call)) {
      node.meters().requestLost(kind(), "cancelled");
      end(call);
    }
  }

  void fail(PrefillCall call, EpidoteException error) {
    if (calls.contains(call)) {
      node.meters().requestLost(kind(), "failed");
      end(call);
      call.reply.fail(error);
    }
  }

  /** Frees what the request holds; what a pull is writing follows when the pull has ended. */
  private void end(PrefillCall call) {
    call.become(PrefillPhase.ENDED);
    calls.remove(call);
    call.presence.leave();
    call.leaveLine();
    call.leaveEarly();
    call.inbox.close(call::releaseArriving);
    call.releaseMedia();
    room.release(call);
    offer.revoke(call);
    leaveBudget(call);
    call.use.ifPresent(AdapterUse::leave);
    giveAdapter(call.adapter);
  }

  @Override
  public void end(Scope scope, EpidoteException reason) {
    List.copyOf(calls).stream()
        .filter(call ->
            switch (scope) {
              case WAITING -> !call.begun;
              case UNFINISHED -> call.phase() != PrefillPhase.LEASED;
              case ALL -> true;
            })
        .forEach(call -> fail(call, reason));
  }

  @Override
  public void describe(NodeStatus.Builder status) {
    status.setPrefill(
        PrefillLoad.newBuilder()
            .setStep(steps.toProto())
            .setPull(intake.pullCost())
            .setWaitingTokens(
                calls.stream().mapToLong(call -> call.tokens.length - call.done).sum()));
  }

  @Override
  public StageLoad load() {
    int running =
        (int)
            calls.stream()
                .filter(call ->
                    switch (call.phase()) {
                      case STREAMING, RUNNING, LEASED -> true;
                      default -> false;
                    })
                .count();
    int awaiting =
        (int)
            calls.stream()
                .filter(call ->
                    call.phase() == PrefillPhase.AWAITING_MEDIA && !call.allMediaAnnounced())
                .count();
    return new StageLoad(
        running,
        calls.size() - running - awaiting,
        awaiting,
        intake.ending(),
        List.of(kv),
        List.of(intake.pool()),
        new StageLoad.Weights(
            "decoder", decoder.weightBytes(), decoder.precision(), decoder::memory));
  }
}
