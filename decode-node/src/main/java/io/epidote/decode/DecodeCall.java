package io.epidote.decode;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.sampling.SamplingOptions;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.grpc.ReplyStream;
import io.epidote.node.transfer.LeaseKeeper;
import io.epidote.node.transfer.PullGroup;
import io.epidote.node.wire.SamplingMessages;
import io.epidote.node.wire.StageAccount;
import io.epidote.proto.stage.v1.DecodeResponse;
import io.epidote.proto.stage.v1.DecodeStart;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** One answer: its phase and what it holds. Belongs to the engine thread. */
final class DecodeCall {
  final ReplyStream<DecodeResponse> reply;
  final StageAccount account;
  final int promptTokens;
  final SamplingOptions options;
  final List<KvInput> inputs = new ArrayList<>();

  BlockQueue.@Nullable Ticket ticket;
  @Nullable LeaseKeeper keeper;
  @Nullable PullGroup pulls;

  /** Prompt tokens that {@link #inputs} cover. */
  int covered;

  /** The block table, with a reference each. */
  int[] blocks = {};

  int lastToken = -1;

  /** Tokens of the answer, the first one included. */
  int generated;

  private DecodePhase phase = DecodePhase.AWAITING_INPUT;

  /**
   * @throws EpidoteException.InvalidRequest when the prompt leaves no room, or the sampling
   *     parameters cannot be
   */
  DecodeCall(
      DecodeStart start,
      DecoderShape shape,
      ReplyStream<DecodeResponse> reply,
      StageAccount account) {
    this.reply = reply;
    this.account = account;
    this.promptTokens = start.getPromptTokens();
    this.options = SamplingMessages.options(start.getSampling(), promptTokens, shape);
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

  boolean hasAllInput() {
    return covered == promptTokens && generated > 0;
  }

  List<KvInput.Remote> remoteInputs() {
    return inputs.stream()
        .filter(KvInput.Remote.class::isInstance)
        .map(KvInput.Remote.class::cast)
        .toList();
  }

  /** Blocks that must be taken from the pool: those of the sequence that are not shared. */
  int missingBlocks() {
    int here = 0;
    for (KvInput input : inputs) {
      if (input instanceof KvInput.Shared shared) {
        here += shared.shared().blocks().length + shared.shared().spare().length;
      }
    }
    return Math.max(0, SamplingMessages.sequenceBlocks(promptTokens, options) - here);
  }

  /**
   * Makes the block table of shared blocks and {@code taken} ones, in the order of the prompt;
   * spare and left over blocks follow for the answer.
   */
  void takeBlocks(int[] taken) {
    IntStream table = IntStream.empty();
    IntStream spare = IntStream.empty();
    int used = 0;
    for (KvInput input : inputs) {
      switch (input) {
        case KvInput.Remote remote -> {
          table = IntStream.concat(table, Arrays.stream(taken, used, used + remote.blocks()));
          used += remote.blocks();
        }
        case KvInput.Shared shared -> {
          table = IntStream.concat(table, Arrays.stream(shared.shared().blocks()));
          spare = IntStream.concat(spare, Arrays.stream(shared.shared().spare()));
        }
      }
    }
    IntStream rest = Arrays.stream(taken, used, taken.length);
    blocks = IntStream.concat(IntStream.concat(table, spare), rest).toArray();
  }

  /** The last token as work for the decoder. */
  SequenceChunk chunk() {
    int past = promptTokens + generated - 1;
    return new SequenceChunk(
        new int[] {lastToken},
        past,
        Arrays.copyOf(blocks, DecoderShape.blocksFor(past + 1)),
        List.of(),
        true);
  }

  void leaveLine() {
    if (ticket != null) {
      ticket.leave();
      ticket = null;
    }
  }

  void stopKeeping() {
    if (keeper != null) {
      keeper.close();
      keeper = null;
    }
  }
}
