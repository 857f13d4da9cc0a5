package io.epidote.decode;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.model.DecoderShape;
import io.epidote.node.NodeConfig.Limits;
import io.epidote.node.NodeContext;
import io.epidote.node.StageInputs;
import io.epidote.node.StageStream;
import io.epidote.node.grpc.ReplyStream;
import io.epidote.node.kv.EarlyHolders;
import io.epidote.node.kv.KvMemory;
import io.epidote.node.lease.SharedBlocks;
import io.epidote.node.transfer.PullGroup;
import io.epidote.node.wire.SamplingMessages;
import io.epidote.node.wire.StageAccount;
import io.epidote.proto.stage.v1.DecodeRequest;
import io.epidote.proto.stage.v1.DecodeResponse;
import io.epidote.proto.stage.v1.DecodeServiceGrpc;
import io.epidote.proto.stage.v1.FirstToken;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.KvReady;
import io.epidote.proto.stage.v1.KvReceived;
import io.epidote.proto.v1.FinishReason;
import io.grpc.stub.StreamObserver;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** How answers come in: the gRPC service, and the way of a request until its KV blocks are here. */
final class DecodeIntake extends DecodeServiceGrpc.DecodeServiceImplBase {
  private static final DecodeResponse RECEIVED =
      DecodeResponse.newBuilder().setKvReceived(KvReceived.getDefaultInstance()).build();

  private final NodeContext node;
  private final DecodeStage stage;
  private final DecoderShape shape;
  private final KvMemory kv;
  private final Residents residents;
  private final DecodeConfig config;
  private final Set<DecodeCall> calls;
  private final StageInputs inputs;

  DecodeIntake(
      NodeContext node,
      DecodeStage stage,
      DecoderShape shape,
      KvMemory kv,
      Residents residents,
      DecodeConfig config,
      Set<DecodeCall> calls) {
    this.node = node;
    this.stage = stage;
    this.shape = shape;
    this.kv = kv;
    this.residents = residents;
    this.config = config;
    this.calls = calls;
    this.inputs = new StageInputs(node);
  }

  /** Requests that are over, but whose pulls still write into their blocks. */
  int ending() {
    return inputs.ending();
  }

  @Override
  public StreamObserver<DecodeRequest> decode(StreamObserver<DecodeResponse> observer) {
    return new StageStream<>(node, new Calls(), observer);
  }

  /** What the stage does with the messages of a call. */
  private final class Calls
      implements StageStream.Handler<DecodeRequest, DecodeResponse, DecodeCall> {
    @Override
    public String stage() {
      return "decode";
    }

    @Override
    public int requests() {
      return calls.size();
    }

    @Override
    public boolean isStart(DecodeRequest message) {
      return message.hasStart();
    }

    @Override
    public DecodeCall begin(DecodeRequest start, ReplyStream<DecodeResponse> reply) {
      StageAccount account = new StageAccount(stage.kind(), node.nodeId(), stage.precision());
      DecodeCall call =
          new DecodeCall(start.getStart(), shape, kv, reply, account, inputs, stage::fail);
      checkFits(call);
      calls.add(call);
      return call;
    }

    @Override
    public String events() {
      return "kv and first_token";
    }

    @Override
    public void next(DecodeCall call, DecodeRequest event) {
      boolean complete = call.hasAllInput();
      switch (event.getEventCase()) {
        case KV -> kvReady(call, event.getKv());
        case FIRST_TOKEN -> firstToken(call, event.getFirstToken());
        default -> {}
      }
      if (!complete && call.hasAllInput()) {
        inputComplete(call);
      }
    }

    @Override
    public boolean isOpen(DecodeCall call) {
      return calls.contains(call);
    }

    @Override
    public @Nullable String missing(DecodeCall call) {
      return call.hasAllInput() ? null : "the prompt was covered and its first token given";
    }

    @Override
    public void fail(DecodeCall call, EpidoteException error) {
      stage.fail(call, error);
    }

    @Override
    public void cancelled(DecodeCall call) {
      stage.cancelled(call);
    }
  }

  private void checkFits(DecodeCall call) {
    int blocks = SamplingMessages.sequenceBlocks(call.promptTokens, call.options);
    if (!kv.line().canEverFit(blocks)) {
      throw new EpidoteException.TooLarge(
          "A prompt of %d tokens and an answer of up to %d need %d KV blocks, but this node has %d; lower max_tokens, shorten the prompt, or give the node more KV blocks."
              .formatted(call.promptTokens, call.options.maxTokens(), blocks, kv.pool().total()));
    }
  }

  private void kvReady(DecodeCall call, KvReady ready) {
    int tokens = ready.getTokens();
    boolean aligned = call.covered % DecoderShape.BLOCK_TOKENS == 0;
    if (ready.getFirstToken() != call.covered
        || !aligned
        || tokens <= 0
        || tokens > call.promptTokens - call.covered) {
      throw new EpidoteException.InvalidRequest(
          "KV blocks came for %d tokens from %d, but %d of the prompt's %d tokens are covered; expected parts in order, all but the last in whole blocks of %d."
              .formatted(
                  Integer.toUnsignedLong(tokens),
                  Integer.toUnsignedLong(ready.getFirstToken()),
                  call.covered,
                  call.promptTokens,
                  DecoderShape.BLOCK_TOKENS));
    }
    Handle handle = ready.getHandle();
    int blocks = DecoderShape.blocksFor(tokens);
    long bytes = (long) blocks * shape.kvBlockBytes();
    if (handle.getBytes() != bytes) {
      throw new EpidoteException.InvalidRequest(
          "The handle for %d tokens has %d bytes, but their KV blocks take %d."
              .formatted(tokens, handle.getBytes(), bytes));
    }
    if (!call.inbox.isHere(handle)) {
      call.inbox.keep(handle);
      call.inputs.add(new KvInput.Remote(handle, blocks));
    } else if (call.phase() == DecodePhase.AWAITING_INPUT) {
      call.inputs.add(share(call, handle));
    } else {
      throw new EpidoteException.InvalidRequest(
          "Handle %d is of this node, but those before it were of another; expected the parts of a prompt from one node."
              .formatted(handle.getId()));
    }
    call.covered += tokens;
    call.newsAt = System.nanoTime();
    if (call.phase() == DecodePhase.RECEIVING) {
      pullNext(call);
    }
  }

  private KvInput share(DecodeCall call, Handle handle) {
    SharedBlocks shared = call.inbox.share(handle, "KV blocks");
    if (shared.pool() != kv.pool()) {
      shared.release();
      throw new EpidoteException.InvalidRequest(
          "Handle %d is not on KV blocks.".formatted(handle.getId()));
    }
    return new KvInput.Shared(shared);
  }

  private void firstToken(DecodeCall call, FirstToken first) {
    int token = first.getToken().getTokenId();
    if (call.generated > 0 || token < 0 || token >= shape.vocabulary()) {
      throw new EpidoteException.InvalidRequest(
          "First token %d came; expected one, once, from a vocabulary of %d."
              .formatted(Integer.toUnsignedLong(token), shape.vocabulary()));
    }
    call.generated = 1;
    call.lastToken = token;
  }

  /** Everything was announced; only now is it certain that there will be an answer. */
  private void inputComplete(DecodeCall call) {
    call.account.inputAnnounced();
    FinishReason finish = SamplingMessages.finish(call.lastToken, 1, call.options, config.eosIds());
    if (finish != FinishReason.FINISH_REASON_UNSPECIFIED) {
      stage.finish(call, finish);
      return;
    }
    call.claim.generated(1);
    if (call.phase() == DecodePhase.RECEIVING) {
      startWhenReceived(call);
      return;
    }
    if (call.missingBlocks() == 0) {
      // Prefill has made room for the answer before it ran the prompt.
      call.claim.enter();
      call.takeBlocks(new int[0]);
      residents.add(call);
      received(call);
      return;
    }
    call.become(DecodePhase.RESERVING);
    call.account.startWaiting();
    call.ticket = kv.line().enter(call.missingBlocks());
  }

  /** Lets requests in while there is room. */
  boolean reserve() {
    boolean any = false;
    for (DecodeCall call : List.copyOf(calls)) {
      any |=
          switch (call.phase()) {
            case AWAITING_INPUT -> beginEarly(call);
            case RECEIVING -> checkNews(call);
            case RESERVING -> admit(call);
            default -> false;
          };
    }
    return any;
  }

  /** Takes blocks for the whole prompt while it is still being prefilled, if that can be done. */
  private boolean beginEarly(DecodeCall call) {
    if (call.inputs.isEmpty() || call.missingBlocks() < call.inputBlocks()) {
      return false;
    }
    int blocks = DecoderShape.blocksFor(call.promptTokens);
    int most = SamplingMessages.sequenceBlocks(call.promptTokens, call.options);
    int largest = DecoderShape.blocksFor(shape.contextTokens());
    if (blocks > kv.pool().available()) {
      return false;
    }
    Optional<EarlyHolders.Place> place = kv.early().tryEnter(most, largest);
    if (place.isEmpty()) {
      return false;
    }
    if (!call.claim.tryEnter()) {
      place.get().leave();
      return false;
    }
    call.early = place.get();
    call.blocks.append(kv.pool().tryAllocate(blocks).orElseThrow());
    call.become(DecodePhase.RECEIVING);
    pullNext(call);
    return true;
  }

  private boolean checkNews(DecodeCall call) {
    if (!call.inbox.isPulling()
        && System.nanoTime() - call.newsAt > node.limits().maxWait().toNanos()) {
      stage.fail(
          call,
          new EpidoteException.Unavailable(
              "No KV blocks of the prompt came for %s; send the request again."
                  .formatted(Limits.words(node.limits().maxWait()))));
    }
    return false;
  }

  /** Pulls what has been announced since. */
  private void pullNext(DecodeCall call) {
    List<PullGroup.Piece> pieces = pieces(call, call.begun);
    call.begun = call.inputs.size();
    call.inbox.pull(
        pieces,
        () -> {
          call.newsAt = System.nanoTime();
          if (call.covered == call.promptTokens && !call.inbox.isPulling()) {
            call.reply.send(RECEIVED);
          }
          startWhenReceived(call);
        });
  }

  private void startWhenReceived(DecodeCall call) {
    if (call.hasAllInput() && !call.inbox.isPulling()) {
      call.leaveEarly();
      residents.add(call);
      residents.ready(call);
    }
  }

  private boolean admit(DecodeCall call) {
    Optional<int[]> blocks =
        residents.places() <= 0
            ? Optional.empty()
            : requireNonNull(call.ticket).take(() -> take(call));
    if (blocks.isEmpty()) {
      if (call.account.waitingNanos() > node.limits().maxWait().toNanos()) {
        stage.fail(call, inputs.waitedTooLong("answer"));
      }
      return false;
    }
    call.takeBlocks(blocks.get());
    residents.add(call);
    call.account.stopWaiting();
    call.become(DecodePhase.PULLING);
    call.inbox.pull(pieces(call, 0), () -> received(call));
    return true;
  }

  private void received(DecodeCall call) {
    residents.ready(call);
    call.reply.send(RECEIVED);
  }

  private Optional<int[]> take(DecodeCall call) {
    int blocks = call.missingBlocks();
    return blocks <= kv.pool().available() && call.claim.tryEnter()
        ? kv.pool().tryAllocate(blocks)
        : Optional.empty();
  }

  /** What is to be pulled of the inputs from {@code first} on, with the blocks that it goes to. */
  private List<PullGroup.Piece> pieces(DecodeCall call, int first) {
    List<PullGroup.Piece> pieces = new ArrayList<>();
    int[] table = call.blocks.table();
    int block = 0;
    for (int i = 0; i < call.inputs.size(); i++) {
      if (i >= first && call.inputs.get(i) instanceof KvInput.Remote remote) {
        List<ByteBuffer> destinations = new ArrayList<>();
        for (int b = 0; b < remote.blocks(); b++) {
          destinations.addAll(kv.pool().parts(table[block + b]));
        }
        pieces.add(new PullGroup.Piece(remote.handle(), destinations));
      }
      block += call.inputs.get(i).blocks();
    }
    return pieces;
  }

  /** The request is over: frees its blocks, once no pull writes into them. */
  void ended(DecodeCall call) {
    call.leaveLine();
    call.leaveEarly();
    if (call.blocks.size() == 0) {
      for (KvInput input : call.inputs) {
        if (input instanceof KvInput.Shared shared) {
          shared.shared().release();
        }
      }
    }
    residents.remove(call);
    call.inbox.close(call.blocks::release);
  }
}
