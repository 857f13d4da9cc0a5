package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.stage.v1.DecodeDone;
import io.epidote.proto.stage.v1.DecodeStart;
import io.epidote.proto.stage.v1.FirstToken;
import io.epidote.proto.stage.v1.KvReady;
import io.epidote.proto.stage.v1.MediaReady;
import io.epidote.proto.stage.v1.PrefillRequest;
import io.epidote.proto.stage.v1.PrefillResponse;
import io.epidote.proto.stage.v1.PrefillServiceGrpc;
import io.epidote.proto.stage.v1.PrefillStart;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.StageTiming;
import io.epidote.router.cluster.Placement;
import io.grpc.SynchronizationContext;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * One answer, told by its calls to the stages:
 *
 * <ol>
 *   <li>prefill is opened at once with the prompt, encode with the media;
 *   <li>each tile that encode announces is passed on to prefill, which pulls its tokens;
 *   <li>the KV handles that prefill announces while it goes on are passed on to decode;
 *   <li>prefill's first token goes to the client, and when the prompt is covered to decode;
 *   <li>once decode has the KV blocks, prefill is told that nothing follows;
 *   <li>decode's tokens go to the client until it says why it stopped.
 * </ol>
 *
 * <p>Everything happens in the request's turn: nothing here is called by two threads at once. When
 * the answer ends for whatever reason, every call has ended or is cancelled, and every seat is
 * given back.
 */
final class Generation {
  /** What the request hears of its answers. */
  interface Events {
    /** Returns false when the client reads too slowly. */
    boolean chunk(AnswerListener.Piece chunk);

    /** A decode node has taken the answer on, with its adapter. */
    void arrived();

    /** The answer is complete and nothing is held for it anywhere. */
    void complete(Generation generation, FinishReason reason);

    void failed(EpidoteException error);

    /** Runs {@link #settleNow} within the turn after a moment. */
    void settleLater(Generation generation);
  }

  private final PreparedRequest prepared;
  private final int choice;
  private final String stageRequestId;
  private final Placement placement;
  private final boolean overlap;
  private final Slo slo;
  private final SynchronizationContext turn;
  private final Events events;
  private final AnswerText text;
  private final MediaEncoding encoding;
  private final Handoff handoff;
  private final List<StageTiming> timings = new ArrayList<>();

  private @Nullable StageCall<PrefillRequest, PrefillResponse> prefill;
  private @Nullable FirstToken firstToken;
  private int tokens;

  /** Set when the answer has its last token; what remains is to let the calls end. */
  private @Nullable FinishReason reason;

  /** Set when nothing more may happen. */
  private boolean over;

  /**
   * @param overlap whether a stage may begin while the one before is still at work
   * @param slo what is left of its targets now
   */
  Generation(
      PreparedRequest prepared,
      int choice,
      Placement placement,
      boolean overlap,
      Slo slo,
      AnswerText text,
      SynchronizationContext turn,
      Events events) {
    this.prepared = prepared;
    this.choice = choice;
    this.stageRequestId =
        prepared.request().choices() == 1
            ? prepared.request().id()
            : prepared.request().id() + "." + choice;
    this.placement = placement;
    this.overlap = overlap;
    this.slo = slo;
    this.text = text;
    this.turn = turn;
    this.events = events;
    this.encoding =
        new MediaEncoding(
            prepared, stageRequestId, placement.encodes(), slo.ttftMs(), turn, new Encoded());
    this.handoff = new Handoff(placement.decode(), turn, decodeStart(), new Decoding());
  }

  void start() {
    openPrefill();
    encoding.start();
  }

  int choice() {
    return choice;
  }

  int tokens() {
    return tokens;
  }

  Placement placement() {
    return placement;
  }

  /** What the stages accounted for, in the order of a request. */
  List<StageTiming> timings() {
    return timings.stream().sorted(Comparator.comparing(StageTiming::getStageValue)).toList();
  }

  // Prefill, part one: it gets the prompt before any tile is encoded.

  private void openPrefill() {
    prefill =
        StageCall.open(
            PrefillServiceGrpc.getPrefillMethod(),
            placement.prefill(),
            turn,
            StageCall.events(this::onPrefill, this::prefillEnded, this::prefillFailed));
    PrefillStart.Builder start =
        PrefillStart.newBuilder()
            .setRequestId(stageRequestId)
            .addAllSpans(prepared.prompt().spans())
            .setSampling(sampling())
            .setAdapter(prepared.adapter())
            .setTenant(prepared.request().tenant())
            .setCacheSalt(prepared.request().salt().digest())
            .setMediaFirst(mediaFirst())
            .setKvLast(kvLast());
    slo.ttftMs().ifPresent(start::setTtftLeftMs);
    for (int token : prepared.prompt().tokenIds()) {
      start.addTokenIds(token);
    }
    prefill.send(PrefillRequest.newBuilder().setStart(start).build());
  }

  /** Stages of one node take turns: one that began early would only hold the other up. */
  private boolean mediaFirst() {
    return !overlap || placement.encodesWherePrefilled();
  }

  private boolean kvLast() {
    return !overlap || placement.decodesWherePrefilled();
  }

  /** What encoding tells: tiles, each of which prefill waits for. */
  private final class Encoded implements MediaEncoding.Events {
    @Override
    public void tile(MediaReady tile) {
      if (prefill != null) {
        prefill.send(PrefillRequest.newBuilder().setMedia(tile).build());
      }
    }

    @Override
    public void done(StageTiming timing) {
      timings.add(timing);
    }

    @Override
    public void ended() {
      settle();
    }

    @Override
    public void failed(EpidoteException error) {
      // Once prefill has sampled, it has had every tile: encode's end changes nothing.
      if (firstToken == null) {
        fail(error);
      }
      settle();
    }

    @Override
    public void defect(String message) {
      Generation.this.defect(message);
    }
  }

  // Prefill, part two: the first token, and the KV blocks for decode.

  private void onPrefill(PrefillResponse response) {
    switch (response.getEventCase()) {
      case FIRST_TOKEN -> onFirstToken(response.getFirstToken());
      case KV -> onKv(response.getKv());
      case DONE -> timings.add(response.getDone().getTiming());
      case MEDIA_RECEIVED, EVENT_NOT_SET -> {}
    }
  }

  private void onFirstToken(FirstToken first) {
    firstToken = first;
    placement.prefill().worked();
    show(List.of(first.getToken()));
    if (over) {
      return;
    }
    if (reason != null) {
      cancelCalls("a stop string ended the answer");
    } else if (first.getFinishReason() != FinishReason.FINISH_REASON_UNSPECIFIED) {
      end(first.getFinishReason());
      handoff.cancel("the answer ended with its first token");
      halfClosePrefill();
    } else {
      handoff.firstToken(first);
    }
    settle();
  }

  private void onKv(KvReady kv) {
    if (reason == null) {
      handoff.kv(kv);
    }
  }

  private void prefillEnded() {
    if (reason == null && (firstToken == null || !handoff.isCovered())) {
      defect(
          "The prefill node ended its work without %s."
              .formatted(firstToken == null ? "a token" : "the KV blocks"));
    }
    settle();
  }

  private void prefillFailed(EpidoteException error) {
    // Nothing of prefill's is needed once decode has the KV blocks.
    if (!handoff.isReceived() && reason == null) {
      fail(error);
    }
    settle();
  }

  private void halfClosePrefill() {
    if (prefill != null) {
      prefill.halfClose();
    }
  }

  // Decode, which is told of KV handles as they come.

  private DecodeStart decodeStart() {
    DecodeStart.Builder start =
        DecodeStart.newBuilder()
            .setRequestId(stageRequestId)
            .setPromptTokens(prepared.promptTokens())
            .setSampling(sampling())
            .setAdapter(prepared.adapter())
            .setTenant(prepared.request().tenant());
    slo.tpotMs().ifPresent(start::setTpotMs);
    return start.build();
  }

  private final class Decoding implements Handoff.Events {
    @Override
    public void received() {
      events.arrived();
      halfClosePrefill();
    }

    @Override
    public void tokens(List<SampledToken> sampled) {
      show(sampled);
      if (!over && reason != null) {
        cancelCalls("a stop string ended the answer");
        settle();
      }
    }

    @Override
    public void done(DecodeDone done) {
      timings.add(done.getTiming());
      switch (done.getFinishReason()) {
        case FINISH_REASON_STOP, FINISH_REASON_LENGTH -> end(done.getFinishReason());
        case FINISH_REASON_ABORT, FINISH_REASON_UNSPECIFIED, UNRECOGNIZED ->
            defect("The decode node ended the answer with %s.".formatted(done.getFinishReason()));
      }
      settle();
    }

    @Override
    public void ended() {
      if (reason == null) {
        defect("The decode node ended its work without saying why.");
      }
      settle();
    }

    @Override
    public void failed(EpidoteException error) {
      if (reason == null) {
        fail(error);
      }
      settle();
    }
  }

  // What the client sees.

  private void show(List<SampledToken> sampled) {
    if (sampled.size() == 1 && reason == null) {
      // Nearly always: a step's token.
      emit(sampled, append(sampled.getFirst()));
      return;
    }
    StringBuilder shown = new StringBuilder();
    List<SampledToken> counted = new ArrayList<>();
    for (SampledToken token : sampled) {
      if (reason != null) {
        break;
      }
      counted.add(token);
      shown.append(append(token));
    }
    if (!counted.isEmpty()) {
      emit(counted, shown.toString());
    }
  }

  /** The text that a token completes. */
  private String append(SampledToken token) {
    String completed = text.append(token.getTokenId());
    if (text.stopped()) {
      reason = FinishReason.FINISH_REASON_STOP;
    }
    return completed;
  }

  private void emit(List<SampledToken> counted, String shown) {
    tokens += counted.size();
    emit(new AnswerListener.Piece(choice, shown, counted));
  }

  private void emit(AnswerListener.Piece chunk) {
    if (!events.chunk(chunk)) {
      fail(
          new EpidoteException.Exhausted(
              "The client reads too slowly: more of the answer waits than the router keeps. Read faster, or ask without streaming."));
    }
  }

  private void end(FinishReason why) {
    if (reason != null || over) {
      return;
    }
    reason = why;
    String rest = text.flush();
    if (!rest.isEmpty()) {
      emit(new AnswerListener.Piece(choice, rest, List.of()));
    }
  }

  // The end, in order or not.

  /** The answer is complete when its calls have ended, so that nothing is held for it anywhere. */
  private void settle() {
    if (over || reason == null) {
      return;
    }
    if (calls().allMatch(StageCall::ended)) {
      settleNow();
    } else {
      events.settleLater(this);
    }
  }

  /** Ends what has not ended by itself and completes the answer, if it has its last token. */
  void settleNow() {
    FinishReason why = reason;
    if (!over && why != null) {
      stop("the answer is complete");
      events.complete(this, why);
    }
  }

  /** Ends the answer early, with what was generated. */
  void abort() {
    if (!over) {
      end(FinishReason.FINISH_REASON_ABORT);
      settleNow();
    }
  }

  /** Ends everything at once; nothing is told. */
  void stop(String why) {
    over = true;
    cancelCalls(why);
    placement.release();
  }

  private void fail(EpidoteException error) {
    if (!over) {
      stop("the request failed");
      events.failed(error);
    }
  }

  private void defect(String message) {
    fail(new EpidoteException.Internal(message, new IllegalStateException(stageRequestId)));
  }

  private void cancelCalls(String why) {
    calls().forEach(call -> call.cancel(why));
  }

  private Stream<StageCall<?, ?>> calls() {
    return Stream.concat(
        encoding.calls(),
        Stream.<@Nullable StageCall<?, ?>>of(prefill, handoff.call())
            .filter(call -> call != null)
            .map(call -> (StageCall<?, ?>) call));
  }

  private SamplingParams sampling() {
    return prepared.request().sampling().toProto(prepared.maxTokens(), choice);
  }

  /** For logs. */
  @Override
  public String toString() {
    return stageRequestId;
  }
}
