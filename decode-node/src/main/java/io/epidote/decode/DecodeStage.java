package io.epidote.decode;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.cost.CostStage;
import io.epidote.engine.cost.StepWork;
import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.LoadedAdapter;
import io.epidote.engine.model.Logits;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.sampling.BatchSampler;
import io.epidote.engine.sampling.SampledToken;
import io.epidote.engine.tier.AdapterUse;
import io.epidote.node.NodeContext;
import io.epidote.node.Stage;
import io.epidote.node.StageInputs;
import io.epidote.node.StageLoad;
import io.epidote.node.StepCost;
import io.epidote.node.engine.AdapterCap;
import io.epidote.node.engine.Turns;
import io.epidote.node.kv.KvMemory;
import io.epidote.node.wire.SamplingMessages;
import io.epidote.proto.stage.v1.DecodeDone;
import io.epidote.proto.stage.v1.DecodeResponse;
import io.epidote.proto.stage.v1.TokensSampled;
import io.epidote.proto.v1.DecodeLoad;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.StageTiming;
import io.grpc.BindableService;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Gives every running answer one token per step. What a request says is in {@link DecodeIntake},
 * how an answer gets its KV blocks in {@link KvArrivals}; this class takes over when they are here.
 *
 * <p>Answers take blocks as they grow; who has to wait when there are none is in {@link Residents}.
 */
public final class DecodeStage implements Stage {
  private final NodeContext node;
  private final Decoder decoder;
  private final BatchSampler sampler;
  private final KvMemory kv;
  private final DecodeConfig config;
  private final Turns turns;
  private final Residents residents;
  private final StageInputs inputs;
  private final KvArrivals arrivals;
  private final DecodeIntake intake;
  private final Set<DecodeCall> calls = new LinkedHashSet<>();
  private final StepCost steps = new StepCost(CostStage.DECODE);

  /**
   * @param decoder used by the engine thread alone; closed by the node
   * @param sampler likewise
   * @param kv blocks of {@link io.epidote.engine.model.DecoderShape#kvBlockBytes()}; shared with
   *     the prefill stage of this node, if there is one
   */
  public DecodeStage(
      NodeContext node, Decoder decoder, BatchSampler sampler, KvMemory kv, DecodeConfig config) {
    this.node = requireNonNull(node, "node is null");
    this.decoder = requireNonNull(decoder, "decoder is null");
    this.sampler = requireNonNull(sampler, "sampler is null");
    this.kv = requireNonNull(kv, "kv is null");
    this.config = requireNonNull(config, "config is null");
    this.turns = new Turns(config.order(), node.sharing().tenants());
    this.residents =
        new Residents(
            kv,
            node.meters(),
            config.maxBatch(),
            turns,
            new AdapterCap<>(node.sharing().adaptersPerBatch()),
            decoder.adapters().tiers());
    this.inputs = new StageInputs(node);
    this.arrivals =
        new KvArrivals(
            this,
            kv,
            residents,
            inputs,
            calls,
            node.limits(),
            decoder.shape().contextTokens(),
            config.kvWire().form(decoder.shape().attention()));
    this.intake =
        new DecodeIntake(node, this, decoder.shape(), kv, arrivals, config, calls, inputs);
    if (kv.pool().blockBytes() != decoder.shape().kvBlockBytes()) {
      throw new IllegalArgumentException(
          "kv blocks have %d bytes, but the decoder's have %d"
              .formatted(kv.pool().blockBytes(), decoder.shape().kvBlockBytes()));
    }
  }

  @Override
  public io.epidote.proto.v1.Stage kind() {
    return io.epidote.proto.v1.Stage.STAGE_DECODE;
  }

  /** Of the weights that this stage computes with. */
  String precision() {
    return decoder.precision();
  }

  Turns turns() {
    return turns;
  }

  /** Of a step. */
  StepCost cost() {
    return steps;
  }

  @Override
  public List<BindableService> services() {
    return List.of(intake);
  }

  @Override
  public boolean runStep() {
    boolean reserved = arrivals.reserve();
    List<DecodeCall> batch = residents.schedule();
    failLongWaits();
    if (batch.isEmpty()) {
      return reserved;
    }
    // What others do in the midst of it is not of its cost.
    long start = System.nanoTime() - node.loop().interruptedNanos();
    List<SampledToken> tokens = run(batch);
    if (!tokens.isEmpty()) {
      postprocess(batch, tokens, System.nanoTime() - node.loop().interruptedNanos() - start);
    }
    return true;
  }

  /** The next token of each answer, or nothing when the step failed. */
  private List<SampledToken> run(List<DecodeCall> batch) {
    try {
      List<SequenceChunk> chunks = batch.stream().map(DecodeCall::chunk).toList();
      Logits logits = decoder.step(kv.pool(), chunks, node.loop()::interlude);
      return sampler.sample(logits, batch.stream().map(DecodeCall::nextToken).toList());
    } catch (RuntimeException | Error e) {
      EpidoteException told =
          e instanceof EpidoteException known
              ? known
              : new EpidoteException.Internal("The decoder failed on this request's answer.", e);
      batch.forEach(call -> fail(call, told));
      if (e instanceof Error error) {
        throw error;
      }
      return List.of();
    }
  }

  private void postprocess(List<DecodeCall> batch, List<SampledToken> tokens, long nanos) {
    double kvTokens = batch.stream().mapToDouble(call -> call.past() + 1.0).sum();
    steps.add(new StepWork.Decode(batch.size(), kvTokens, 0), nanos);
    node.meters().step(kind(), nanos, batch.size());
    for (int row = 0; row < batch.size(); row++) {
      DecodeCall call = batch.get(row);
      SampledToken token = tokens.get(row);
      call.took(token.tokenId());
      call.presence.charge(1);
      call.claim.generated(call.generated);
      call.account.computed(nanos, 1);
      call.reply.send(
          DecodeResponse.newBuilder()
              .setTokens(TokensSampled.newBuilder().addTokens(SamplingMessages.token(token)))
              .build());
      FinishReason finish =
          SamplingMessages.finish(token.tokenId(), call.generated, call.options, config.eosIds());
      if (finish != FinishReason.FINISH_REASON_UNSPECIFIED) {
        finish(call, finish);
      }
    }
  }

  /** The answer is complete. */
  void finish(DecodeCall call, FinishReason reason) {
    StageTiming timing = call.account.timing();
    node.meters().requestDone(timing);
    call.claim.answered();
    end(call);
    call.reply.send(
        DecodeResponse.newBuilder()
            .setDone(DecodeDone.newBuilder().setFinishReason(reason).setTiming(timing))
            .build());
    call.reply.complete();
  }

  void cancelled(DecodeCall call) {
    if (calls.contains(call)) {
      node.meters().requestLost(kind(), "cancelled");
      // Whoever cancels because of a stop string has had its answer, too.
      if (call.generated > 1) {
        call.claim.answered();
      }
      end(call);
    }
  }

  void fail(DecodeCall call, EpidoteException error) {
    if (calls.contains(call)) {
      node.meters().requestLost(kind(), "failed");
      end(call);
      call.reply.fail(error);
    }
  }

  /** Frees what the request holds; what a pull is writing follows when the pull has ended. */
  private void end(DecodeCall call) {
    call.become(DecodePhase.ENDED);
    calls.remove(call);
    call.presence.leave();
    arrivals.ended(call);
    call.use.ifPresent(AdapterUse::leave);
    giveAdapter(call.adapter);
  }

  /** Ends answers that have waited for their adapters as long as for anything. */
  private void failLongWaits() {
    long most = node.limits().maxWait().toNanos();
    residents.awaitingAdapters().stream()
        .filter(call -> call.use.stream().anyMatch(use -> use.waitedNanos() > most))
        .toList()
        .forEach(call -> fail(call, inputs.waitedTooLong("adapter")));
  }

  /** From now on the request is of this adapter, which it has taken. */
  void setAdapter(DecodeCall call, Optional<LoadedAdapter> adapter) {
    call.use.ifPresent(AdapterUse::leave);
    call.adapter = adapter;
    call.use = adapter.map(each -> decoder.adapters().tiers().enter(each.entry()));
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

  @Override
  public void end(Scope scope, EpidoteException reason) {
    // The first token was made by prefill.
    List.copyOf(calls).stream()
        .filter(call -> scope != Scope.WAITING || call.generated <= 1)
        .forEach(call -> fail(call, reason));
  }

  @Override
  public void describe(NodeStatus.Builder status) {
    status.setDecode(
        DecodeLoad.newBuilder()
            .setStep(steps.toProto())
            .setPull(inputs.pullCost())
            .setAnswers(calls.size())
            .setKvWire(config.kvWire().word()));
  }

  @Override
  public StageLoad load() {
    int running = (int) calls.stream().filter(call -> call.phase() == DecodePhase.RUNNING).count();
    int awaiting = (int) calls.stream().filter(call -> !call.complete).count();
    return new StageLoad(
        running,
        calls.size() - running - awaiting,
        awaiting,
        inputs.ending(),
        List.of(kv),
        List.of(),
        new StageLoad.Weights(
            "decoder", decoder.weightBytes(), decoder.precision(), decoder::memory));
  }
}
