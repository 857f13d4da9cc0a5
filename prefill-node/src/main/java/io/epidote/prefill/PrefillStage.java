package io.epidote.prefill;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.KeyChain;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Logits;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.sampling.BatchSampler;
import io.epidote.engine.sampling.SampledToken;
import io.epidote.node.NodeConfig.Limits;
import io.epidote.node.NodeContext;
import io.epidote.node.Stage;
import io.epidote.node.StageLoad;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.kv.KvMemory;
import io.epidote.node.lease.LeaseEnd;
import io.epidote.node.wire.SamplingMessages;
import io.epidote.proto.stage.v1.FirstToken;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.KvReady;
import io.epidote.proto.stage.v1.PrefillResponse;
import io.epidote.proto.stage.v1.StageDone;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.StageTiming;
import io.grpc.BindableService;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Runs prompts, several in a step, samples their first tokens and leases their KV blocks out. How a
 * prompt gets its input is in {@link PrefillIntake}; this class takes over when its media tokens
 * are here.
 */
public final class PrefillStage implements Stage {
  private final NodeContext node;
  private final Decoder decoder;
  private final BatchSampler sampler;
  private final KvMemory kv;
  private final KeyChain keyChain;
  private final PrefillConfig config;
  private final PrefillIntake intake;
  private final Set<PrefillCall> calls = new LinkedHashSet<>();

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
    this.keyChain = new KeyChain(DecoderShape.BLOCK_TOKENS, "", config.weights(), "");
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

  /** KV blocks that a request needs: of its prompt, and of its answer when that is decoded here. */
  private int kvBlocks(PrefillCall call) {
    return config.decodesHere()
        ? SamplingMessages.sequenceBlocks(call.tokens.length, call.options)
        : call.promptBlocks();
  }

  /** Refuses a prompt that does not even fit an empty pool. */
  void checkFits(PrefillCall call) {
    if (!kv.line().canEverFit(kvBlocks(call))) {
      throw new EpidoteException.TooLarge(
          "A prompt of %d tokens with up to %d more needs %d KV blocks here, but this node has %d; shorten the prompt, lower max_tokens, or give the node more KV blocks."
              .formatted(
                  call.tokens.length, call.options.maxTokens(), kvBlocks(call), kv.pool().total()));
    }
  }

  /** All media tokens are here: get in line for KV blocks. */
  void inputComplete(PrefillCall call) {
    call.become(PrefillPhase.RESERVING_KV);
    if (kv.prefixes().isPresent()) {
      call.keys = keyChain.keys(call.tokens, call.mediaKeys());
    }
    if (config.decodesHere()) {
      call.claim = kv.budget().claim(call.tokens.length, call.options);
    }
    call.ticket = kv.line().enter(call.promptBlocks());
    call.account.startWaiting();
  }

  @Override
  public boolean runStep() {
    boolean reserved = intake.reserve() | reserve();
    List<Work> batch = schedule();
    if (batch.isEmpty()) {
      return reserved;
    }
    long start = System.nanoTime();
    List<SampledToken> tokens = run(batch);
    if (tokens != null) {
      postprocess(batch, tokens, System.nanoTime() - start);
    }
    return true;
  }

  private boolean reserve() {
    boolean any = false;
    for (PrefillCall call : List.copyOf(calls)) {
      if (call.phase() != PrefillPhase.RESERVING_KV) {
        continue;
      }
      var blocks = requireNonNull(call.ticket).take(() -> take(call));
      if (blocks.isPresent()) {
        call.blocks = blocks.get();
        call.account.cached(call.done);
        kv.prefixes().ifPresent(cache -> node.meters().prefix(call.done, call.tokens.length));
        call.become(PrefillPhase.RUNNING);
        any = true;
      } else if (call.account.waitingNanos() > node.limits().maxWait().toNanos()) {
        fail(call, intake.waitedTooLong("KV blocks"));
      }
    }
    return any;
  }

  /** The prompt's blocks: those of its beginning that are cached, and new ones. */
  private Optional<int[]> take(PrefillCall call) {
    int[] found =
        kv.prefixes().map(cache -> cache.retain(call.reusableKeys())).orElseGet(() -> new int[0]);
    int missing = call.promptBlocks() - found.length;
    if (missing > kv.pool().available() || (call.claim != null && !call.claim.tryEnter())) {
      kv.pool().release(found);
      return Optional.empty();
    }
    int[] blocks = Arrays.copyOf(found, call.promptBlocks());
    int[] taken = kv.pool().tryAllocate(missing).orElseThrow();
    System.arraycopy(taken, 0, blocks, found.length, missing);
    call.done = found.length * DecoderShape.BLOCK_TOKENS;
    return Optional.of(blocks);
  }

  /**
   * Prompts in the order in which they came, as many as fit the budget. Where a long prompt is cut
   * depends on the prompt and what of it was cached, never on what shares its step, and so does the
   * rounding of its numbers.
   */
  private List<Work> schedule() {
    List<Work> batch = new ArrayList<>();
    int budget = config.tokenBudget();
    for (PrefillCall call : calls) {
      if (call.phase() != PrefillPhase.RUNNING) {
        continue;
      }
      int count = Math.min(config.tokenBudget(), call.tokens.length - call.done);
      if (count > budget || batch.size() == config.maxSequences()) {
        break;
      }
      call.account.stopWaiting();
      batch.add(new Work(call, call.chunk(count)));
      budget -= count;
    }
    return batch;
  }

  /** The first tokens of the prompts that are complete, in order; null when the step failed. */
  private @Nullable List<SampledToken> run(List<Work> batch) {
    try {
      Logits logits = decoder.step(kv.pool(), batch.stream().map(Work::chunk).toList());
      return sampler.sample(
          logits,
          batch.stream()
              .filter(work -> work.chunk().wantLogits())
              .map(work -> work.call().firstToken())
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
      call.account.computed(nanos, count);
      if (work.chunk().wantLogits()) {
        promptDone(call, sampled.get(row++));
      }
    }
    node.meters().step(kind(), nanos, tokens);
  }

  private void promptDone(PrefillCall call, SampledToken token) {
    call.releaseMedia();
    kv.prefixes().ifPresent(cache -> cache.add(call.keys, call.blocks));
    FinishReason finish =
        SamplingMessages.finish(token.tokenId(), 1, call.options, config.eosIds());
    call.reply.send(
        PrefillResponse.newBuilder()
            .setFirstToken(
                FirstToken.newBuilder()
                    .setToken(SamplingMessages.token(token))
                    .setFinishReason(finish))
            .build());
    boolean goesOn = finish == FinishReason.FINISH_REASON_UNSPECIFIED;
    if (goesOn) {
      announce(call);
    }
    StageTiming timing = call.account.timing();
    node.meters().requestDone(timing);
    call.reply.send(
        PrefillResponse.newBuilder().setDone(StageDone.newBuilder().setTiming(timing)).build());
    if (!goesOn) {
      end(call);
      call.reply.complete();
    }
  }

  private void announce(PrefillCall call) {
    int[] held = call.blocks;
    Handle handle =
        node.leases()
            .grant(
                kv.pool(),
                held,
                end -> {
                  kv.pool().release(held);
                  call.leaveBudget();
                  leaseOver(call, end);
                });
    // From here on the lease owns the blocks.
    call.blocks = new int[0];
    call.kvHandle = handle;
    call.become(PrefillPhase.LEASED);
    call.reply.send(
        PrefillResponse.newBuilder()
            .setKv(
                KvReady.newBuilder()
                    .setFirstToken(0)
                    .setTokens(call.tokens.length)
                    .setHandle(handle))
            .build());
  }

  private void leaseOver(PrefillCall call, LeaseEnd end) {
    if (!calls.contains(call)) {
      return;
    }
    if (end == LeaseEnd.RELEASED) {
      end(call);
      call.reply.complete();
    } else {
      fail(
          call,
          new EpidoteException.Unavailable(
              "The KV blocks of the prompt were not pulled within %s; run the prompt again."
                  .formatted(Limits.words(node.limits().lease()))));
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
    call.leaveLine();
    intake.ended(call);
    call.releaseMedia();
    kv.pool().release(call.blocks);
    call.blocks = new int[0];
    if (call.kvHandle == null) {
      call.leaveBudget();
    } else {
      // What the lease still holds counts until it is freed.
      node.leases().revoke(call.kvHandle);
    }
  }

  @Override
  public void abortAll(EpidoteException reason) {
    List.copyOf(calls).forEach(call -> fail(call, reason));
  }

  @Override
  public StageLoad load() {
    int running =
        (int)
            calls.stream()
                .filter(call ->
                    call.phase() == PrefillPhase.RUNNING || call.phase() == PrefillPhase.LEASED)
                .count();
    return new StageLoad(
        running,
        calls.size() - running,
        intake.ending(),
        List.of(kv),
        List.of(intake.pool()),
        new StageLoad.Weights(
            "decoder", decoder.weightBytes(), decoder.precision(), decoder::memory));
  }
}
