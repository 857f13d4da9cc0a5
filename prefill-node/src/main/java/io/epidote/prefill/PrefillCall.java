package io.epidote.prefill;

import io.epidote.engine.cost.StepWork;
import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.BlockKey;
import io.epidote.engine.memory.KeyChain;
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
import io.epidote.node.wire.SamplingMessages;
import io.epidote.node.wire.StageAccount;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.MediaSpan;
import io.epidote.proto.stage.v1.PrefillResponse;
import io.epidote.proto.stage.v1.PrefillStart;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/** One prompt: its phase and what it holds. Belongs to the engine thread. */
final class PrefillCall implements Waiting {
  final ReplyStream<PrefillResponse> reply;
  final StageAccount account;
  final int[] tokens;
  final List<MediaSpan> spans;
  final SamplingOptions options;

  /** Of {@link #tokens}, the last ones that are of the answer. */
  private final int answerTokens;

  final MediaInput[] media;

  /** What was announced for each span. */
  final @Nullable Handle[] handles;

  /** Whether the prompt is not to be begun before its last tile is here. */
  final boolean mediaFirst;

  /** Whether KV blocks are announced when the prompt is done, and not before. */
  final boolean kvLast;

  final StageInputs.Inbox inbox;
  final KeyChain keyChain;

  /** Taken for as long as the request lives. */
  final Optional<LoadedAdapter> adapter;

  /** Of the adapter; pinned while the prompt waits for nothing but steps. */
  Optional<AdapterUse> use = Optional.empty();

  /** There from when it could be computed until it is. */
  final FairShare.Presence presence;

  private final Flow flow;

  private final int hiddenSize;
  private final StepCost cost;
  private final long since = System.nanoTime();
  private final OptionalLong deadline;

  BlockQueue.@Nullable Ticket ticket;

  /** The answer's part of this node's pool, when it may be decoded here. */
  KvBudget.@Nullable Claim claim;

  /** While it holds KV blocks without having all of its input. */
  EarlyHolders.@Nullable Place early;

  /** Of full blocks from the first on, as far as known, when there is a prefix cache. */
  final List<BlockKey> keys = new ArrayList<>();

  /** Of spans from the first on, in order, whose media tokens are or were here. */
  final List<KeyChain.MediaTokens> mediaKeys = new ArrayList<>();

  /** The prompt's blocks, with a reference each, until it is done. */
  int[] blocks = {};

  /** Tokens whose keys and values are in the blocks. */
  int done;

  /** Whether a step has computed some of the prompt. */
  boolean begun;

  /** Tokens whose blocks were announced. */
  int offered;

  /** On the prompt's blocks. */
  final List<Handle> leases = new ArrayList<>();

  int openLeases;

  /** When something last went on for it. */
  long newsAt = System.nanoTime();

  private PrefillPhase phase = PrefillPhase.AWAITING_MEDIA;

  /**
   * @param cost of a step
   * @param share of the stage
   * @throws EpidoteException.InvalidRequest when the prompt, its spans or its sampling parameters
   *     cannot be
   */
  PrefillCall(
      PrefillStart start,
      DecoderShape shape,
      ReplyStream<PrefillResponse> reply,
      StageAccount account,
      KeyChain keyChain,
      Optional<LoadedAdapter> adapter,
      StageInputs inputs,
      StepCost cost,
      FairShare share,
      BiConsumer<PrefillCall, EpidoteException> failed) {
    this.reply = reply;
    this.account = account;
    this.hiddenSize = shape.hiddenSize();
    this.tokens = start.getTokenIdsList().stream().mapToInt(Integer::intValue).toArray();
    this.spans = start.getSpansList();
    this.options = SamplingMessages.options(start.getSampling(), tokens.length, shape);
    this.answerTokens = start.getAnswerTokens();
    this.media = new MediaInput[spans.size()];
    Arrays.fill(media, new MediaInput.Awaited());
    this.handles = new Handle[spans.size()];
    this.mediaFirst = start.getMediaFirst();
    this.kvLast = start.getKvLast();
    this.keyChain = keyChain;
    this.cost = cost;
    this.deadline = Waiting.deadline(since, start.hasTtftLeftMs(), start.getTtftLeftMs());
    this.adapter = adapter;
    this.flow =
        new Flow(Flow.tenant("tenant", start.getTenant()), start.getAdapter(), start.getPriority());
    this.presence = share.of(flow);
    this.inbox = inputs.open(account, error -> failed.accept(this, error));
    for (int token : tokens) {
      if (token < 0 || token >= shape.vocabulary()) {
        throw new EpidoteException.InvalidRequest(
            "Token %d is not in the vocabulary of %d; router and node must serve the same checkpoint."
                .formatted(Integer.toUnsignedLong(token), shape.vocabulary()));
      }
    }
    if (answerTokens < 0 || answerTokens >= tokens.length) {
      throw new EpidoteException.InvalidRequest(
          "%d of %d tokens are of the answer; expected fewer than all."
              .formatted(Integer.toUnsignedLong(answerTokens), tokens.length));
    }
    long free = 0;
    for (MediaSpan span : spans) {
      long position = Integer.toUnsignedLong(span.getPosition());
      long end = position + Integer.toUnsignedLong(span.getTokens());
      if (position < free || end > tokens.length || end == position) {
        throw new EpidoteException.InvalidRequest(
            "Media span %d to %d does not fit a prompt of %d tokens, after a span that ends at %d; expected spans in order, without overlap."
                .formatted(position, end, tokens.length, free));
      }
      free = end;
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
    return flow;
  }

  @Override
  public double remainingWork() {
    return tokens.length - done;
  }

  @Override
  public double remainingMs() {
    double left = tokens.length - done;
    return cost.ms(new StepWork.Prefill(left, left * (done + left / 2), done, 0));
  }

  PrefillPhase phase() {
    return phase;
  }

  void become(PrefillPhase next) {
    if (!phase.mayBecome(next)) {
      throw new IllegalStateException(
          "a prefill request cannot go from %s to %s".formatted(phase, next));
    }
    phase = next;
  }

  long spanBytes(int span) {
    return (long) spans.get(span).getTokens() * hiddenSize * Float.BYTES;
  }

  private int spanEnd(int span) {
    return spans.get(span).getPosition() + spans.get(span).getTokens();
  }

  /** Spans whose media tokens are still at another node. */
  List<Integer> remoteSpans() {
    List<Integer> remote = new ArrayList<>();
    for (int span = 0; span < media.length; span++) {
      if (media[span] instanceof MediaInput.Remote) {
        remote.add(span);
      }
    }
    return remote;
  }

  boolean allMediaAnnounced() {
    return Arrays.stream(media).noneMatch(MediaInput.Awaited.class::isInstance);
  }

  /** Whether media tokens are here in blocks of this stage's pool. */
  boolean hasPulled() {
    return Arrays.stream(media).anyMatch(MediaInput.Pulled.class::isInstance);
  }

  /** The first span whose media tokens were not here yet, or the number of spans. */
  int firstMissing() {
    int span = 0;
    while (span < media.length
        && (media[span] instanceof MediaInput.Present || media[span] instanceof MediaInput.Used)) {
      span++;
    }
    return span;
  }

  boolean allMediaHere() {
    return firstMissing() == media.length;
  }

  /** Tokens from the first on for which nothing is missing. */
  int known() {
    int missing = firstMissing();
    return missing == media.length ? tokens.length : spans.get(missing).getPosition();
  }

  /** Drops media tokens whose keys and values are in the blocks. */
  void releaseUsedMedia() {
    for (int span = 0; span < media.length && spanEnd(span) <= done; span++) {
      if (media[span] instanceof MediaInput.Present present) {
        present.release();
        media[span] = new MediaInput.Used();
      }
    }
  }

  /** Drops the references to media tokens that are here. */
  void releaseMedia() {
    for (int span = 0; span < media.length; span++) {
      if (media[span] instanceof MediaInput.Present present) {
        present.release();
        media[span] = new MediaInput.Used();
      }
    }
  }

  /** Frees blocks that pulls wrote into; none writes any more. */
  void releaseArriving() {
    for (MediaInput input : media) {
      if (input instanceof MediaInput.Arriving arriving) {
        arriving.pool().release(arriving.block());
      }
    }
  }

  /** The next {@code count} tokens of the prompt as work for the decoder. */
  SequenceChunk chunk(int count) {
    int end = done + count;
    List<SequenceChunk.MediaRows> rows = new ArrayList<>();
    for (int span = 0; span < media.length; span++) {
      int first = Math.max(done, spans.get(span).getPosition());
      int last = Math.min(end, spanEnd(span));
      if (first < last && media[span] instanceof MediaInput.Present present) {
        int rowBytes = hiddenSize * Float.BYTES;
        ByteBuffer bytes =
            present
                .rows()
                .slice(
                    (first - spans.get(span).getPosition()) * rowBytes, (last - first) * rowBytes)
                .order(ByteOrder.nativeOrder());
        rows.add(new SequenceChunk.MediaRows(first - done, last - first, bytes));
      }
    }
    return new SequenceChunk(
        Arrays.copyOfRange(tokens, done, end),
        done,
        Arrays.copyOf(blocks, DecoderShape.blocksFor(end)),
        rows,
        end == tokens.length,
        adapter);
  }

  /** How the token after the prompt is chosen. */
  BatchSampler.Row firstToken(Set<Integer> eosIds) {
    int prompt = tokens.length - answerTokens;
    return new BatchSampler.Row(
        options,
        tokens.length,
        AnswerHistory.of(
            options,
            eosIds,
            Arrays.copyOf(tokens, prompt),
            Arrays.copyOfRange(tokens, prompt, tokens.length)));
  }

  int promptBlocks() {
    return DecoderShape.blocksFor(tokens.length);
  }

  /** Adds the keys of media tokens that are here now; all before them are or were. */
  void addMediaKeys() {
    int missing = firstMissing();
    for (int span = mediaKeys.size(); span < missing; span++) {
      MediaInput.Present present = (MediaInput.Present) media[span];
      mediaKeys.add(
          new KeyChain.MediaTokens(
              spans.get(span).getPosition(),
              spans.get(span).getTokens(),
              KeyChain.digest(present.rows().slice(0, (int) spanBytes(span)))));
    }
  }

  /** The keys of the blocks that come next and may be found: the last token must be computed. */
  List<BlockKey> reusableKeys() {
    int from = done / DecoderShape.BLOCK_TOKENS;
    int to = Math.min(keys.size(), (tokens.length - 1) / DecoderShape.BLOCK_TOKENS);
    return keys.subList(Math.min(from, to), to);
  }

  /** All of its input is here, or it is over. */
  void leaveEarly() {
    if (early != null) {
      early.leave();
      early = null;
    }
  }

  void leaveBudget() {
    if (claim != null) {
      claim.leave();
    }
  }

  void leaveLine() {
    if (ticket != null) {
      ticket.leave();
      ticket = null;
    }
  }
}
