package io.epidote.prefill;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.BlockKey;
import io.epidote.engine.memory.KeyChain;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.sampling.BatchSampler;
import io.epidote.engine.sampling.SamplingOptions;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.grpc.ReplyStream;
import io.epidote.node.kv.KvBudget;
import io.epidote.node.transfer.LeaseKeeper;
import io.epidote.node.transfer.PullGroup;
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
import org.jspecify.annotations.Nullable;

/** One prompt: its phase and what it holds. Belongs to the engine thread. */
final class PrefillCall {
  final ReplyStream<PrefillResponse> reply;
  final StageAccount account;
  final int[] tokens;
  final List<MediaSpan> spans;
  final SamplingOptions options;
  final MediaInput[] media;
  private final int hiddenSize;

  BlockQueue.@Nullable Ticket ticket;
  @Nullable LeaseKeeper keeper;
  @Nullable PullGroup pulls;
  @Nullable Handle kvHandle;

  /** The answer's part of this node's pool, when it may be decoded here. */
  KvBudget.@Nullable Claim claim;

  /** Of the prompt's full blocks, when there is a prefix cache. */
  List<BlockKey> keys = List.of();

  int[] blocks = {};

  /** Tokens whose keys and values are in the blocks. */
  int done;

  private PrefillPhase phase = PrefillPhase.AWAITING_MEDIA;

  /**
   * @throws EpidoteException.InvalidRequest when the prompt, its spans or its sampling parameters
   *     cannot be
   */
  PrefillCall(
      PrefillStart start,
      DecoderShape shape,
      ReplyStream<PrefillResponse> reply,
      StageAccount account) {
    this.reply = reply;
    this.account = account;
    this.hiddenSize = shape.hiddenSize();
    this.tokens = start.getTokenIdsList().stream().mapToInt(Integer::intValue).toArray();
    this.spans = start.getSpansList();
    this.options = SamplingMessages.options(start.getSampling(), tokens.length, shape);
    this.media = new MediaInput[spans.size()];
    Arrays.fill(media, new MediaInput.Awaited());
    for (int token : tokens) {
      if (token < 0 || token >= shape.vocabulary()) {
        throw new EpidoteException.InvalidRequest(
            "Token %d is not in the vocabulary of %d; router and node must serve the same checkpoint."
                .formatted(Integer.toUnsignedLong(token), shape.vocabulary()));
      }
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

  /** Drops the references to media tokens that are here. */
  void releaseMedia() {
    for (int span = 0; span < media.length; span++) {
      if (media[span] instanceof MediaInput.Present present) {
        present.release();
        media[span] = new MediaInput.Awaited();
      }
    }
  }

  /** The next {@code count} tokens of the prompt as work for the decoder. */
  SequenceChunk chunk(int count) {
    int end = done + count;
    List<SequenceChunk.MediaRows> rows = new ArrayList<>();
    for (int span = 0; span < media.length; span++) {
      int first = Math.max(done, spans.get(span).getPosition());
      int last = Math.min(end, spans.get(span).getPosition() + spans.get(span).getTokens());
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
        end == tokens.length);
  }

  /** How the token after the prompt is chosen. */
  BatchSampler.Row firstToken() {
    return new BatchSampler.Row(options, tokens.length);
  }

  int promptBlocks() {
    return DecoderShape.blocksFor(tokens.length);
  }

  /** What stands in place of the prompt's media tokens; all of it must be here. */
  List<KeyChain.MediaTokens> mediaKeys() {
    List<KeyChain.MediaTokens> keys = new ArrayList<>();
    for (int span = 0; span < media.length; span++) {
      MediaInput.Present present = (MediaInput.Present) media[span];
      keys.add(
          new KeyChain.MediaTokens(
              spans.get(span).getPosition(),
              spans.get(span).getTokens(),
              KeyChain.digest(present.rows().slice(0, (int) spanBytes(span)))));
    }
    return keys;
  }

  /** The keys of blocks that may be found: the last token's logits must be computed. */
  List<BlockKey> reusableKeys() {
    return keys.subList(0, Math.min(keys.size(), (tokens.length - 1) / DecoderShape.BLOCK_TOKENS));
  }

  void leaveBudget() {
    if (claim != null) {
      claim.leave();
    }
  }

  void leaveLine() {
    if (ticket != null) {
      ticket.leave();
    }
  }

  void stopKeeping() {
    if (keeper != null) {
      requireNonNull(keeper).close();
      keeper = null;
    }
  }
}
