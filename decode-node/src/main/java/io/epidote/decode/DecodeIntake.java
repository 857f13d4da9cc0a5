package io.epidote.decode;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.BlockKey;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.LoadedAdapter;
import io.epidote.node.NodeContext;
import io.epidote.node.StageInputs;
import io.epidote.node.StageStream;
import io.epidote.node.grpc.ReplyStream;
import io.epidote.node.kv.KvMemory;
import io.epidote.node.lease.SharedBlocks;
import io.epidote.node.wire.BlockKeyMessages;
import io.epidote.node.wire.SamplingMessages;
import io.epidote.node.wire.StageAccount;
import io.epidote.proto.stage.v1.DecodeRequest;
import io.epidote.proto.stage.v1.DecodeResponse;
import io.epidote.proto.stage.v1.DecodeServiceGrpc;
import io.epidote.proto.stage.v1.FirstToken;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.KvReady;
import io.epidote.proto.v1.FinishReason;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * How answers come in: the gRPC service, and what its messages say. What becomes of the KV blocks
 * that they announce is in {@link KvArrivals}.
 */
final class DecodeIntake extends DecodeServiceGrpc.DecodeServiceImplBase {
  private final NodeContext node;
  private final DecodeStage stage;
  private final DecoderShape shape;
  private final KvMemory kv;
  private final KvArrivals arrivals;
  private final DecodeConfig config;
  private final Set<DecodeCall> calls;
  private final StageInputs inputs;

  DecodeIntake(
      NodeContext node,
      DecodeStage stage,
      DecoderShape shape,
      KvMemory kv,
      KvArrivals arrivals,
      DecodeConfig config,
      Set<DecodeCall> calls,
      StageInputs inputs) {
    this.node = node;
    this.stage = stage;
    this.shape = shape;
    this.kv = kv;
    this.arrivals = arrivals;
    this.config = config;
    this.calls = calls;
    this.inputs = inputs;
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
      Optional<LoadedAdapter> adapter = stage.takeAdapter(start.getStart().getAdapter());
      try {
        DecodeCall call =
            new DecodeCall(
                start.getStart(),
                shape,
                config.eosIds(),
                kv,
                adapter,
                reply,
                account,
                inputs,
                stage.cost(),
                stage.turns().share(),
                stage::fail);
        checkFits(call);
        stage.setAdapter(call, adapter);
        calls.add(call);
        return call;
      } catch (RuntimeException e) {
        stage.giveAdapter(adapter);
        throw e;
      }
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
    List<BlockKey> keys =
        BlockKeyMessages.read(ready.getBlockKeys(), tokens / DecoderShape.BLOCK_TOKENS);
    if (!call.inbox.isHere(handle)) {
      keys = config.kvWire().keys(keys);
      call.account.kvWire(config.kvWire().word());
      call.inbox.keep(handle);
      call.inputs.add(new KvInput.Remote(handle, blocks, keys));
    } else if (call.phase() == DecodePhase.AWAITING_INPUT) {
      call.inputs.add(share(call, handle));
    } else {
      throw new EpidoteException.InvalidRequest(
          "Handle %d is of this node, but those before it were of another; expected the parts of a prompt from one node."
              .formatted(handle.getId()));
    }
    if (call.keys.size() * DecoderShape.BLOCK_TOKENS == call.covered) {
      call.keys.addAll(keys);
    }
    call.covered += tokens;
    arrivals.announced(call);
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
    checkAdapter(call, first.getAdapterDigest());
    call.took(token);
  }

  /** The prompt may have run on an adapter that took this one's place since the request began. */
  private void checkAdapter(DecodeCall call, String digest) {
    if (call.adapter.map(LoadedAdapter::digest).orElse("").equals(digest)) {
      return;
    }
    String name = call.adapter.map(LoadedAdapter::name).orElse("");
    Optional<LoadedAdapter> newer = stage.takeAdapter(name);
    if (newer.map(LoadedAdapter::digest).orElse("").equals(digest)) {
      Optional<LoadedAdapter> older = call.adapter;
      stage.setAdapter(call, newer);
      stage.giveAdapter(older);
      return;
    }
    stage.giveAdapter(newer);
    throw new EpidoteException.Unavailable(
        "The adapter '%s' of this node is not the one that the prompt ran on (%s, not %s); send the request again."
            .formatted(name, call.adapter.map(LoadedAdapter::digest).orElse("none"), digest));
  }

  /** Everything was announced; only now is it certain that there will be an answer. */
  private void inputComplete(DecodeCall call) {
    call.account.inputAnnounced();
    FinishReason finish = SamplingMessages.finish(call.lastToken, 1, call.options, config.eosIds());
    if (finish != FinishReason.FINISH_REASON_UNSPECIFIED) {
      stage.finish(call, finish);
    } else {
      call.claim.generated(1);
      arrivals.complete(call);
    }
  }
}
