package io.epidote.decode;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.model.DecoderShape;
import io.epidote.node.NodeConfig.Limits;
import io.epidote.node.NodeContext;
import io.epidote.node.StageStream;
import io.epidote.node.grpc.ReplyStream;
import io.epidote.node.kv.KvMemory;
import io.epidote.node.lease.SharedBlocks;
import io.epidote.node.transfer.PullEnd;
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
  private int ending;

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
  }

  /** Requests that are over, but whose pulls still write into their blocks. */
  int ending() {
    return ending;
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
      DecodeCall call = new DecodeCall(start.getStart(), shape, kv, reply, account);
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
      switch (event.getEventCase()) {
        case KV -> kvReady(call, event.getKv());
        case FIRST_TOKEN -> firstToken(call, event.getFirstToken());
        default -> {}
      }
      if (call.hasAllInput() && call.phase() == DecodePhase.AWAITING_INPUT) {
        inputComplete(call);
      }
    }

    @Override
    public boolean isOpen(DecodeCall call) {
      return calls.contains(call);
    }

    @Override
    public @Nullable String missing(DecodeCall call) {
      return call.phase() == DecodePhase.AWAITING_INPUT ? "the prompt was covered" : null;
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
    if (call.phase() != DecodePhase.AWAITING_INPUT
        || ready.getFirstToken() != call.covered
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
    call.inputs.add(node.leases().isLocal(handle) ? share(handle) : remote(call, handle, blocks));
    call.covered += tokens;
  }

  private KvInput share(Handle handle) {
    Optional<SharedBlocks> shared = node.leases().tryShare(handle);
    if (shared.isPresent() && shared.get().pool() != kv.pool()) {
      shared.get().release();
      throw new EpidoteException.InvalidRequest(
          "Handle %d is not on KV blocks.".formatted(handle.getId()));
    }
    return shared
        .map(KvInput.Shared::new)
        .orElseThrow(() ->
            new EpidoteException.Unavailable(
                "The KV blocks behind handle %d are gone from this node; run the prompt again."
                    .formatted(handle.getId())));
  }

  /** The lease must outlive the wait for the rest and for room. */
  private KvInput remote(DecodeCall call, Handle handle, int blocks) {
    if (call.keeper == null) {
      call.keeper =
          node.transfers()
              .keep(why ->
                  node.loop()
                      .execute(() -> stage.fail(call, new EpidoteException.Unavailable(why))));
    }
    call.keeper.add(handle);
    return new KvInput.Remote(handle, blocks);
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

  private void inputComplete(DecodeCall call) {
    FinishReason finish = SamplingMessages.finish(call.lastToken, 1, call.options, config.eosIds());
    if (finish != FinishReason.FINISH_REASON_UNSPECIFIED) {
      stage.finish(call, finish);
      return;
    }
    call.claim.generated(1);
    if (call.missingBlocks() == 0) {
      // Prefill has made room for the answer before it ran the prompt.
      call.claim.enter();
      admit(call, new int[0]);
      return;
    }
    call.become(DecodePhase.RESERVING);
    call.account.startWaiting();
    call.ticket = kv.line().enter(call.missingBlocks());
  }

  /** Lets requests in while the batch has places and the pool has room. */
  boolean reserve() {
    boolean any = false;
    for (DecodeCall call : List.copyOf(calls)) {
      if (call.phase() != DecodePhase.RESERVING) {
        continue;
      }
      Optional<int[]> blocks =
          residents.places() <= 0
              ? Optional.empty()
              : requireNonNull(call.ticket).take(() -> take(call));
      if (blocks.isPresent()) {
        any = true;
        admit(call, blocks.get());
      } else if (call.account.waitingNanos() > node.limits().maxWait().toNanos()) {
        stage.fail(call, waitedTooLong());
      }
    }
    return any;
  }

  private Optional<int[]> take(DecodeCall call) {
    int blocks = call.missingBlocks();
    return blocks <= kv.pool().available() && call.claim.tryEnter()
        ? kv.pool().tryAllocate(blocks)
        : Optional.empty();
  }

  private void admit(DecodeCall call, int[] taken) {
    call.takeBlocks(taken);
    residents.add(call);
    List<PullGroup.Piece> pieces = pieces(call);
    if (pieces.isEmpty()) {
      residents.ready(call);
      call.reply.send(RECEIVED);
      return;
    }
    call.account.stopWaiting();
    call.become(DecodePhase.PULLING);
    // The pulls renew their leases themselves.
    call.stopKeeping();
    call.pulls = PullGroup.start(node.transfers(), node.loop(), pieces, end -> pulled(call, end));
  }

  private List<PullGroup.Piece> pieces(DecodeCall call) {
    List<PullGroup.Piece> pieces = new ArrayList<>();
    int[] table = call.blocks.table();
    int block = 0;
    for (KvInput input : call.inputs) {
      if (input instanceof KvInput.Remote remote) {
        List<ByteBuffer> destinations = new ArrayList<>();
        for (int i = 0; i < remote.blocks(); i++) {
          destinations.addAll(kv.pool().parts(table[block + i]));
        }
        pieces.add(new PullGroup.Piece(remote.handle(), destinations));
      }
      block += input.blocks();
    }
    return pieces;
  }

  private void pulled(DecodeCall call, PullEnd end) {
    call.pulls = null;
    if (!calls.contains(call)) {
      ending--;
      call.blocks.release();
      return;
    }
    switch (end) {
      case PullEnd.Pulled pulled -> {
        call.account.moved(pulled.nanos(), pulled.bytes());
        residents.ready(call);
        call.reply.send(RECEIVED);
      }
      case PullEnd.Failed failed -> stage.fail(call, failed.error());
      case PullEnd.Cancelled cancelled ->
          throw new IllegalStateException("a pull was cancelled although its request goes on");
    }
  }

  /** The request is over: frees its blocks, or has its pulls stopped so that they can be. */
  void ended(DecodeCall call) {
    call.stopKeeping();
    call.leaveLine();
    boolean admitted = call.blocks.size() > 0;
    residents.remove(call);
    if (call.pulls != null) {
      ending++;
      call.pulls.cancel();
    } else if (!admitted) {
      for (KvInput input : call.inputs) {
        switch (requireNonNull(input)) {
          case KvInput.Shared shared -> shared.shared().release();
          case KvInput.Remote remote -> node.transfers().release(remote.handle());
        }
      }
    }
  }

  private EpidoteException waitedTooLong() {
    return new EpidoteException.Exhausted(
        "No room to decode the request within %s; try again later or add decode nodes."
            .formatted(Limits.words(node.limits().maxWait())));
  }
}
