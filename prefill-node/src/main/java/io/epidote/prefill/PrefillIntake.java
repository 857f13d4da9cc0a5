package io.epidote.prefill;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.LoadedAdapter;
import io.epidote.node.NodeConfig.Limits;
import io.epidote.node.NodeContext;
import io.epidote.node.StageInputs;
import io.epidote.node.StageStream;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.grpc.ReplyStream;
import io.epidote.node.transfer.PullGroup;
import io.epidote.node.transfer.WireForm;
import io.epidote.node.wire.StageAccount;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.MediaReady;
import io.epidote.proto.stage.v1.MediaReceived;
import io.epidote.proto.stage.v1.PrefillRequest;
import io.epidote.proto.stage.v1.PrefillResponse;
import io.epidote.proto.stage.v1.PrefillServiceGrpc;
import io.epidote.proto.stage.v1.PrefillStart;
import io.epidote.proto.v1.Cost;
import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * How prompts come in: the gRPC service, and the way of a request until its media tokens are here.
 *
 * <p>Whoever holds blocks for media tokens never waits for an encode node, which may be waiting for
 * room itself. A prompt without KV blocks takes them for all its tiles when all are announced. One
 * that has KV blocks takes them one by one in the order of the prompt, so that each can be computed
 * and freed as soon as it is here, and is when somebody waits for its room.
 */
final class PrefillIntake extends PrefillServiceGrpc.PrefillServiceImplBase {
  private static final PrefillResponse RECEIVED =
      PrefillResponse.newBuilder().setMediaReceived(MediaReceived.getDefaultInstance()).build();

  private final NodeContext node;
  private final PrefillStage stage;
  private final DecoderShape shape;
  private final BlockQueue media;
  private final Set<PrefillCall> calls;
  private final StageInputs inputs;

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
    this.inputs = new StageInputs(node);
  }

  BlockPool pool() {
    return media.pool();
  }

  /** Whether somebody waits for blocks for media tokens. */
  boolean isShortOfRoom() {
    return !media.isEmpty();
  }

  /** Requests that are over, but whose pulls still write into their blocks. */
  int ending() {
    return inputs.ending();
  }

  /** What pulling media tokens takes; a unit is a MiB. */
  Cost pullCost() {
    return inputs.pullCost();
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
      Optional<LoadedAdapter> adapter = stage.takeAdapter(start.getStart().getAdapter());
      PrefillCall call;
      try {
        call = admit(start.getStart(), reply, adapter);
      } catch (RuntimeException e) {
        stage.giveAdapter(adapter);
        throw e;
      }
      stage.moreKnown(call);
      if (call.spans.isEmpty()) {
        call.account.inputAnnounced();
        stage.inputComplete(call);
      }
      return call;
    }

    private PrefillCall admit(
        PrefillStart start, ReplyStream<PrefillResponse> reply, Optional<LoadedAdapter> adapter) {
      PrefillCall call =
          new PrefillCall(
              start,
              shape,
              reply,
              new StageAccount(stage.kind(), node.nodeId(), stage.precision()),
              stage.keyChain(start, adapter),
              adapter,
              inputs,
              stage.cost(),
              stage.turns().share(),
              stage::fail);
      stage.checkFits(call);
      checkSpansFit(call);
      stage.nameAdapter(call);
      calls.add(call);
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
      return call.allMediaAnnounced() ? null : "every media span was announced";
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
          "Media span %d was announced, but the prompt has %d."
              .formatted(Integer.toUnsignedLong(span), call.media.length));
    }
    Handle handle = ready.getHandle();
    if (handle.getBytes() != call.spanBytes(span)) {
      throw new EpidoteException.InvalidRequest(
          "The handle for media span %d has %d bytes, but its %d tokens take %d."
              .formatted(
                  span, handle.getBytes(), call.spans.get(span).getTokens(), call.spanBytes(span)));
    }
    Handle first = call.handles[span];
    if (first != null) {
      if (!first.equals(handle)) {
        call.inbox.drop(handle);
      }
      return;
    }
    call.handles[span] = handle;
    call.newsAt = System.nanoTime();
    boolean here = call.inbox.isHere(handle);
    if (here) {
      call.media[span] = new MediaInput.Shared(call.inbox.share(handle, "media tokens"));
    } else {
      call.inbox.keep(handle);
      call.media[span] = new MediaInput.Remote(handle);
    }
    if (call.allMediaAnnounced()) {
      call.account.inputAnnounced();
    }
    if (here) {
      arrived(call);
    }
  }

  /** Media tokens are here, or several tiles' of them. */
  private void arrived(PrefillCall call) {
    call.newsAt = System.nanoTime();
    stage.moreKnown(call);
    if (call.allMediaHere()) {
      call.reply.send(RECEIVED);
      stage.inputComplete(call);
    }
  }

  /** Gives media blocks to the requests at the head of the line, and starts their pulls. */
  boolean reserve() {
    boolean any = false;
    for (PrefillCall call : List.copyOf(calls)) {
      any |=
          switch (call.phase()) {
            case AWAITING_MEDIA -> begin(call);
            case RESERVING_MEDIA -> pullAll(call);
            case STREAMING -> pullNext(call);
            default -> false;
          };
    }
    return any;
  }

  /** Chooses the way of a prompt; as long as tiles are missing, that may be done later. */
  private boolean begin(PrefillCall call) {
    int missing = call.firstMissing();
    boolean useful = call.media[missing] instanceof MediaInput.Remote || stage.hasWork(call);
    if (!call.mediaFirst && useful && stage.beginEarly(call)) {
      return true;
    }
    if (!call.allMediaAnnounced()) {
      return false;
    }
    call.become(PrefillPhase.RESERVING_MEDIA);
    call.ticket = media.enter(call.remoteSpans().size(), stage.turns(), call);
    call.account.startWaiting();
    return true;
  }

  private boolean pullAll(PrefillCall call) {
    Optional<int[]> blocks = requireNonNull(call.ticket).take();
    if (blocks.isEmpty()) {
      if (call.account.waitingNanos() > node.limits().maxWait().toNanos()) {
        stage.fail(call, waitedTooLong("media tokens"));
      }
      return false;
    }
    call.ticket = null;
    call.account.stopWaiting();
    call.become(PrefillPhase.PULLING);
    pull(call, call.remoteSpans(), blocks.get());
    return true;
  }

  private boolean pullNext(PrefillCall call) {
    boolean any = false;
    for (int span = call.firstMissing(); span < call.media.length; span++) {
      if (call.media[span] instanceof MediaInput.Awaited) {
        break;
      }
      if (!(call.media[span] instanceof MediaInput.Remote)) {
        continue;
      }
      if (call.ticket == null) {
        call.ticket = media.enter(1, stage.turns(), call);
      }
      Optional<int[]> block = call.ticket.take();
      if (block.isEmpty()) {
        break;
      }
      call.ticket = null;
      pull(call, List.of(span), block.get());
      any = true;
    }
    if (!any
        && !stage.hasWork(call)
        && System.nanoTime() - call.newsAt > node.limits().maxWait().toNanos()) {
      stage.fail(
          call,
          new EpidoteException.Unavailable(
              "No media tokens came for %s; send the request again."
                  .formatted(Limits.words(node.limits().maxWait()))));
    }
    return any;
  }

  private void pull(PrefillCall call, List<Integer> spans, int[] blocks) {
    List<PullGroup.Piece> pieces = new ArrayList<>();
    for (int i = 0; i < blocks.length; i++) {
      int span = spans.get(i);
      Handle handle = ((MediaInput.Remote) call.media[span]).handle();
      pieces.add(
          new PullGroup.Piece(
              handle,
              List.of(media.pool().block(blocks[i]).slice(0, (int) handle.getBytes())),
              WireForm.EXACT));
      call.media[span] = new MediaInput.Arriving(media.pool(), blocks[i]);
    }
    call.inbox.pull(
        pieces,
        () -> {
          for (int i = 0; i < blocks.length; i++) {
            call.media[spans.get(i)] = new MediaInput.Pulled(media.pool(), blocks[i]);
          }
          arrived(call);
        });
  }

  EpidoteException waitedTooLong(String what) {
    return inputs.waitedTooLong(what);
  }
}
