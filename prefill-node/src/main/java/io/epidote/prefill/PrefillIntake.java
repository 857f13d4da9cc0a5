package io.epidote.prefill;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.DecoderShape;
import io.epidote.node.NodeConfig.Limits;
import io.epidote.node.NodeContext;
import io.epidote.node.StageStream;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.grpc.ReplyStream;
import io.epidote.node.transfer.PullEnd;
import io.epidote.node.transfer.PullGroup;
import io.epidote.node.wire.StageAccount;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.MediaReady;
import io.epidote.proto.stage.v1.MediaReceived;
import io.epidote.proto.stage.v1.PrefillRequest;
import io.epidote.proto.stage.v1.PrefillResponse;
import io.epidote.proto.stage.v1.PrefillServiceGrpc;
import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * How prompts come in: the gRPC service, and the way of a request until its media tokens are here.
 *
 * <p>Blocks for media tokens are taken when all spans are announced, not before: a request that
 * holds them never waits for an encode node, which may be waiting for room itself.
 */
final class PrefillIntake extends PrefillServiceGrpc.PrefillServiceImplBase {
  private static final MediaReceived RECEIVED = MediaReceived.getDefaultInstance();

  private final NodeContext node;
  private final PrefillStage stage;
  private final DecoderShape shape;
  private final BlockQueue media;
  private final Set<PrefillCall> calls;
  private int ending;

  PrefillIntake(
      NodeContext node,
      PrefillStage stage,
      DecoderShape shape,
      BlockQueue media,
      Set<PrefillCall> calls) {
    this.node = node;
    this.stage = stage;
    this.shape = shape;
    this.media = requireNonNull(media, "media is null");
    this.calls = calls;
  }

  BlockPool pool() {
    return media.pool();
  }

  /** Requests that are over, but whose pulls still write into their blocks. */
  int ending() {
    return ending;
  }

  @Override
  public StreamObserver<PrefillRequest> prefill(StreamObserver<PrefillResponse> observer) {
    return new StageStream<>(node, new Calls(), observer);
  }

  /** What the stage does with the messages of a call. */
  private final class Calls
      implements StageStream.Handler<PrefillRequest, PrefillResponse, PrefillCall> {
    @Override
    public String stage() {
      return "prefill";
    }

    @Override
    public int requests() {
      return calls.size();
    }

    @Override
    public boolean isStart(PrefillRequest message) {
      return message.hasStart();
    }

    @Override
    public PrefillCall begin(PrefillRequest start, ReplyStream<PrefillResponse> reply) {
      StageAccount account = new StageAccount(stage.kind(), node.nodeId(), stage.precision());
      PrefillCall call = new PrefillCall(start.getStart(), shape, reply, account);
      stage.checkFits(call);
      checkSpansFit(call);
      calls.add(call);
      if (call.spans.isEmpty()) {
        stage.inputComplete(call);
      }
      return call;
    }

    @Override
    public String events() {
      return "media";
    }

    @Override
    public void next(PrefillCall call, PrefillRequest event) {
      if (event.hasMedia()) {
        announced(call, event.getMedia());
      }
    }

    @Override
    public boolean isOpen(PrefillCall call) {
      return calls.contains(call);
    }

    @Override
    public @Nullable String missing(PrefillCall call) {
      return call.phase() == PrefillPhase.AWAITING_MEDIA ? "every media span was announced" : null;
    }

    @Override
    public void fail(PrefillCall call, EpidoteException error) {
      stage.fail(call, error);
    }

    @Override
    public void cancelled(PrefillCall call) {
      stage.cancelled(call);
    }
  }

  private void checkSpansFit(PrefillCall call) {
    for (int span = 0; span < call.spans.size(); span++) {
      if (call.spanBytes(span) > media.pool().blockBytes()) {
        throw new EpidoteException.InvalidRequest(
            "Media span %d has %d tokens of %d bytes together, but a tile has at most %d bytes of media tokens."
                .formatted(
                    span,
                    call.spans.get(span).getTokens(),
                    call.spanBytes(span),
                    media.pool().blockBytes()));
      }
    }
    if (!media.canEverFit(call.spans.size())) {
      throw new EpidoteException.TooLarge(
          "The prompt has %d tiles, but this node has room for the media tokens of %d; send fewer or smaller images, or give the node more media blocks."
              .formatted(call.spans.size(), media.pool().total()));
    }
  }

  private void announced(PrefillCall call, MediaReady ready) {
    int span = ready.getSpan();
    if (span < 0 || span >= call.media.length) {
      throw new EpidoteException.InvalidRequest(
          "Media span %d was announced, but only %d spans are expected."
              .formatted(Integer.toUnsignedLong(span), call.media.length));
    }
    if (!(call.media[span] instanceof MediaInput.Awaited)
        || call.phase() != PrefillPhase.AWAITING_MEDIA) {
      repeated(call, span, ready.getHandle());
      return;
    }
    Handle handle = ready.getHandle();
    if (handle.getBytes() != call.spanBytes(span)) {
      throw new EpidoteException.InvalidRequest(
          "The handle for media span %d has %d bytes, but its %d tokens take %d."
              .formatted(
                  span, handle.getBytes(), call.spans.get(span).getTokens(), call.spanBytes(span)));
    }
    call.media[span] = node.leases().isLocal(handle) ? share(handle) : remote(call, handle);
    if (call.allMediaAnnounced()) {
      int remote = call.remoteSpans().size();
      if (remote == 0) {
        received(call);
      } else {
        call.become(PrefillPhase.RESERVING_MEDIA);
        call.ticket = media.enter(remote);
        call.account.startWaiting();
      }
    }
  }

  /** A tile that was encoded twice: the first handle stands, another one is given back. */
  private void repeated(PrefillCall call, int span, Handle handle) {
    boolean same =
        call.media[span] instanceof MediaInput.Remote first && first.handle().equals(handle);
    if (node.leases().isLocal(handle)) {
      node.leases().release(handle);
    } else if (!same) {
      node.transfers().release(handle);
    }
  }

  private MediaInput share(Handle handle) {
    return node.leases()
        .tryShare(handle)
        .<MediaInput>map(MediaInput.Shared::new)
        .orElseThrow(() ->
            new EpidoteException.Unavailable(
                "The media tokens behind handle %d are gone from this node; encode the image again."
                    .formatted(handle.getId())));
  }

  /** The lease must outlive the wait for the other spans and for room. */
  private MediaInput remote(PrefillCall call, Handle handle) {
    if (call.keeper == null) {
      call.keeper =
          node.transfers()
              .keep(why ->
                  node.loop()
                      .execute(() -> stage.fail(call, new EpidoteException.Unavailable(why))));
    }
    call.keeper.add(handle);
    return new MediaInput.Remote(handle);
  }

  /** Gives media blocks to the requests at the head of the line, and starts their pulls. */
  boolean reserve() {
    boolean any = false;
    for (PrefillCall call : List.copyOf(calls)) {
      if (call.phase() != PrefillPhase.RESERVING_MEDIA) {
        continue;
      }
      var blocks = requireNonNull(call.ticket).take();
      if (blocks.isPresent()) {
        call.account.stopWaiting();
        call.become(PrefillPhase.PULLING);
        pull(call, blocks.get());
        any = true;
      } else if (call.account.waitingNanos() > node.limits().maxWait().toNanos()) {
        stage.fail(call, waitedTooLong("media tokens"));
      }
    }
    return any;
  }

  private void pull(PrefillCall call, int[] blocks) {
    List<Integer> spans = call.remoteSpans();
    List<PullGroup.Piece> pieces = new ArrayList<>();
    for (int i = 0; i < spans.size(); i++) {
      int span = spans.get(i);
      Handle handle = ((MediaInput.Remote) call.media[span]).handle();
      pieces.add(
          new PullGroup.Piece(
              handle, List.of(media.pool().block(blocks[i]).slice(0, (int) handle.getBytes()))));
    }
    // The pulls renew their leases themselves.
    call.stopKeeping();
    call.pulls =
        PullGroup.start(
            node.transfers(), node.loop(), pieces, end -> pulled(call, spans, blocks, end));
  }

  private void pulled(PrefillCall call, List<Integer> spans, int[] blocks, PullEnd end) {
    call.pulls = null;
    if (!calls.contains(call)) {
      ending--;
      media.pool().release(blocks);
      return;
    }
    switch (end) {
      case PullEnd.Pulled pulled -> {
        call.account.moved(pulled.nanos(), pulled.bytes());
        for (int i = 0; i < blocks.length; i++) {
          call.media[spans.get(i)] = new MediaInput.Pulled(media.pool(), blocks[i]);
        }
        received(call);
      }
      case PullEnd.Failed failed -> {
        media.pool().release(blocks);
        stage.fail(call, failed.error());
      }
      case PullEnd.Cancelled cancelled ->
          throw new IllegalStateException("a pull was cancelled although its request goes on");
    }
  }

  private void received(PrefillCall call) {
    call.reply.send(PrefillResponse.newBuilder().setMediaReceived(RECEIVED).build());
    stage.inputComplete(call);
  }

  /** The request is over: stops its pulls and renewals, and gives back handles nobody pulls. */
  void ended(PrefillCall call) {
    call.stopKeeping();
    if (call.pulls != null) {
      ending++;
      call.pulls.cancel();
      return;
    }
    for (int span : call.remoteSpans()) {
      node.transfers().release(((MediaInput.Remote) call.media[span]).handle());
    }
  }

  EpidoteException waitedTooLong(String what) {
    return new EpidoteException.Exhausted(
        "No room for the request's %s within %s; try again later or add prefill nodes."
            .formatted(what, Limits.words(node.limits().maxWait())));
  }
}
