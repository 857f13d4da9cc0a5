package io.epidote.decode;

import io.epidote.engine.cost.StepWork;
import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.BlockKey;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.LoadedAdapter;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.sampling.AnswerHistory;
import io.epidote.engine.sampling.BatchSampler;
import io.epidote.engine.sampling.SamplingOptions;
import io.epidote.engine.tier.AdapterUse;
import io.epidote.node.StageInputs;
import io.epidote.node.StepCost;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.engine.FairShare;
import io.epidote.node.engine.Flow;
import io.epidote.node.engine.Waiting;
import io.epidote.node.grpc.ReplyStream;
import io.epidote.node.kv.EarlyHolders;
import io.epidote.node.kv.KvBudget;
import io.epidote.node.kv.KvMemory;
import io.epidote.node.wire.SamplingMessages;
import io.epidote.node.wire.StageAccount;
import io.epidote.proto.stage.v1.DecodeResponse;
import io.epidote.proto.stage.v1.DecodeStart;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/** One answer: its phase and what it holds. Belongs to the engine thread. */
final class DecodeCall implements Waiting {
  final ReplyStream<DecodeResponse> reply;
  final StageAccount account;
  final int promptTokens;
  final SamplingOptions options;
  final List<KvInput> inputs = new ArrayList<>();

  /** Empty until the request is admitted. */
  final SequenceBlocks blocks;

  final KvBudget.Claim claim;

  /** Taken for as long as the request lives. */
  Optional<LoadedAdapter> adapter;

  /** Of the adapter; pinned while the answer runs. */
  Optional<AdapterUse> use = Optional.empty();

  /** There from when there will be an answer until there is. */
  final FairShare.Presence presence;

  final StageInputs.Inbox inbox;

  BlockQueue.@Nullable Ticket ticket;

  /** While it holds blocks without having all of its input. */
  EarlyHolders.@Nullable Place early;

  /** Inputs whose pulls have begun. */
  int begun;

  /** Inputs that need not be pulled, because their blocks were here. */
  final BitSet found = new BitSet();

  /** Of full blocks from the first on, as far as known. */
  final List<BlockKey> keys = new ArrayList<>();

  /** Whether everything was announced, and there will be an answer. */
  boolean complete;

  /** When something last came for it. */
  long newsAt = System.nanoTime();

  /** Prompt tokens that {@link #inputs} cover. */
  int covered;

  int lastToken = -1;

  /** Tokens of the answer, the first one included. */
  int generated;

  private final Optional<AnswerHistory> history;
  private final Flow flow;
  private final StepCost cost;
  private final double tpotMs;
  private long since = System.nanoTime();
  private OptionalLong deadline = OptionalLong.empty();
  private DecodePhase phase = DecodePhase.AWAITING_INPUT;

  /**
   * @param eosIds tokens that end an answer
   * @param cost of a step
   * @param share of the stage
   * @throws EpidoteException.InvalidRequest when the prompt leaves no room, or the sampling
   *     parameters cannot be
   */
  DecodeCall(
      DecodeStart start,
      DecoderShape shape,
      Set<Integer> eosIds,
      KvMemory kv,
      Optional<LoadedAdapter> adapter,
      ReplyStream<DecodeResponse> reply,
      StageAccount account,
      StageInputs inputs,
      StepCost cost,
      FairShare share,
      BiConsumer<DecodeCall, EpidoteException> failed) {
    this.adapter = adapter;
    this.flow =
        new Flow(Flow.tenant("tenant", start.getTenant()), start.getAdapter(), start.getPriority());
    this.presence = share.of(flow);
    this.reply = reply;
    this.account = account;
    this.cost = cost;
    this.tpotMs = start.hasTpotMs() ? start.getTpotMs() : 0;
    this.inbox = inputs.open(account, error -> failed.accept(this, error));
    this.promptTokens = start.getPromptTokens();
    this.options = SamplingMessages.options(start.getSampling(), promptTokens, shape);
    this.history =
        AnswerHistory.of(
            options,
            eosIds,
            tokens(start.getPromptTokenIdsList(), shape),
            tokens(start.getAnswerTokenIdsList(), shape));
    this.blocks = new SequenceBlocks(kv);
    this.claim = kv.budget().claim(promptTokens, options);
  }

  private static int[] tokens(List<Integer> ids, DecoderShape shape) {
    for (int id : ids) {
      if (id < 0 || id >= shape.vocabulary()) {
        throw new EpidoteException.InvalidRequest(
            "Token %d is not in the vocabulary of %d; router and node must serve the same checkpoint."
                .formatted(Integer.toUnsignedLong(id), shape.vocabulary()));
      }
    }
    return ids.stream().mapToInt(Integer::intValue).toArray();
  }

  /** The answer has its next token. */
  void took(int token) {
    generated++;
    lastToken = token;
    history.ifPresent(known -> known.sampled(token));
  }

  /** All was announced: it could go on now, and its answer is due by its target a token. */
  void complete() {
    complete = true;
    presence.enter();
    since = System.nanoTime();
    deadline = Waiting.deadline(since, tpotMs > 0, tpotMs * claim.expectedTokens());
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
    return flow;
  }

  @Override
  public double remainingWork() {
    return claim.expectedTokens();
  }

  @Override
  public double remainingMs() {
    return claim.expectedTokens() * cost.ms(new StepWork.Decode(1, promptTokens + generated, 0));
  }

  DecodePhase phase() {
    return phase;
  }

  void become(DecodePhase next) {
    if (!phase.mayBecome(next)) {
      throw new IllegalStateException(
          "a decode request cannot go from %s to %s".formatted(phase, next));
    }
    phase = next;
  }

  /** Whether everything was announced. */
  boolean hasAllInput() {
    return covered == promptTokens && generated > 0;
  }

  /** Blocks of the parts that were announced. */
  int inputBlocks() {
    return inputs.stream().mapToInt(KvInput::blocks).sum();
  }

  /** Of these, blocks of the parts that are not shared. */
  int missingBlocks() {
    return inputs.stream().filter(KvInput.Remote.class::isInstance).mapToInt(KvInput::blocks).sum();
  }

  /** Tokens that have keys and values. */
  int past() {
    return promptTokens + generated - 1;
  }

  /** Blocks that the sequence has once its last token has keys and values, too. */
  int blocksForNext() {
    return DecoderShape.blocksFor(past() + 1);
  }

  /** The last token as work for the decoder. */
  SequenceChunk chunk() {
    return new SequenceChunk(
        new int[] {lastToken}, past(), blocks.table(), List.of(), true, adapter);
  }

  /** How the token after the last one is chosen. */
  BatchSampler.Row nextToken() {
    return new BatchSampler.Row(options, promptTokens + generated, history);
  }

  void leaveLine() {
    if (ticket != null) {
      ticket.leave();
      ticket = null;
    }
  }

  /** All of its input is here, or it is over. */
  void leaveEarly() {
    if (early != null) {
      early.leave();
      early = null;
    }
  }
}
