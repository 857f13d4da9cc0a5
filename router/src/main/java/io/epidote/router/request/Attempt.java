package io.epidote.router.request;

import io.epidote.engine.sampling.Penalties;
import io.epidote.node.trace.OpenSpan;
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
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * One run of an answer through the stages, told by its calls:
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
 * <p>An answer that lost a stage has another attempt, whose prompt ends with the tokens that the
 * client has. Everything happens in the request's turn: nothing here is called by two threads at
 * once. When an attempt is over for whatever reason, every call has ended or is cancelled, and
 * every seat is given back.
 */
final class Attempt {
  /** What the answer hears. */
  interface Events {
    /** The answer's next token, from prefill. */
    void firstToken(FirstToken token);

    /** The answer's next tokens, from decode. */
    void tokens(List<SampledToken> tokens);

    /** Whether the answer has its last token; what remains is to let the calls end. */
    boolean isAnswered();

    /** The last token was told. */
    void finished(FinishReason reason);

    /** A decode node has taken the answer on, with its adapter. */
    void arrived();

    /** A stage's account of its part. */
    void done(StageTiming timing);

    /** A call has ended, or the answer has its last token. */
    void settle();

    /** A stage cannot do its part. */
    void lost(StageFailure failure);

    /** A node broke the protocol. */
    void defect(String message);
  }

  private final PreparedRequest prepared;
  private final int[] sent;
  private final SamplingParams sampling;
  private final String stageRequestId;
  private final Placement placement;
  private final boolean overlap;
  private final Slo slo;
  private final OpenSpan span;
  private final SynchronizationContext turn;
  private final Events events;
  private final MediaEncoding encoding;
  private final Handoff handoff;

  private @Nullable StageCall<PrefillRequest, PrefillResponse> prefill;
  private @Nullable FirstToken firstToken;

  /** Set when nothing more may happen. */
  private boolean over;

  /**
   * @param sent tokens of the answer that the client has; they follow the prompt
   * @param sampling of what is left of the answer
   * @param overlap whether a stage may begin while the one before is still at work
   * @param slo what is left of its targets now
   * @param span of the request, whose parts the calls are
   */
  Attempt(
      PreparedRequest prepared,
      int[] sent,
      SamplingParams sampling,
      String stageRequestId,
      Placement placement,
      boolean overlap,
      Slo slo,
      OpenSpan span,
      SynchronizationContext turn,
      Events events) {
    this.prepared = prepared;
    this.sent = sent;
    this.sampling = sampling;
    this.stageRequestId = stageRequestId;
    this.placement = placement;
    this.overlap = overlap;
    this.slo = slo;
    this.span = span;
    this.turn = turn;
    this.events = events;
    this.encoding =
        new MediaEncoding(
            prepared, stageRequestId, placement.encodes(), slo.ttftMs(), span, turn, new Encoded());
    this.handoff = new Handoff(placement.decode(), span, turn, decodeStart(), new Decoding());
  }

  void start() {
    openPrefill();
    encoding.start();
  }

  Placement placement() {
    return placement;
  }

  // Prefill, part one: it gets the prompt before any tile is encoded.

  private void openPrefill() {
    prefill =
        StageCall.open(
            PrefillServiceGrpc.getPrefillMethod(),
            placement.prefill(),
            span,
            turn,
            StageCall.events(this::onPrefill, this::prefillEnded, this::prefillFailed));
    PrefillStart.Builder start =
        PrefillStart.newBuilder()
            .setRequestId(stageRequestId)
            .addAllSpans(prepared.prompt().spans())
            .setSampling(sampling)
            .setAdapter(prepared.adapter())
            .setTenant(prepared.request().tenant())
            .setPriority(prepared.request().priority())
            .setCacheSalt(prepared.request().salt().digest())
            .setMediaFirst(mediaFirst())
            .setKvLast(!placement.kvEarly())
            .setAnswerTokens(sent.length);
    slo.ttftMs().ifPresent(start::setTtftLeftMs);
    for (int token : prepared.prompt().tokenIds()) {
      start.addTokenIds(token);
    }
    for (int token : sent) {
      start.addTokenIds(token);
    }
    prefill.send(PrefillRequest.newBuilder().setStart(start).build());
  }

  /** Stages of one node take turns: one that began early would only hold the other up. */
  private boolean mediaFirst() {
    return !overlap || placement.encodesWherePrefilled();
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
      events.done(timing);
    }

    @Override
    public void ended() {
      events.settle();
    }

    @Override
    public void failed(StageFailure failure) {
      // Once prefill has sampled, it has had every tile: encode's end changes nothing.
      if (firstToken == null) {
        lost(failure);
      }
      events.settle();
    }

    @Override
    public void defect(String message) {
      Attempt.this.defect(message);
    }
  }

  // Prefill, part two: the first token, and the KV blocks for decode.

  private void onPrefill(PrefillResponse response) {
    switch (response.getEventCase()) {
      case FIRST_TOKEN -> onFirstToken(response.getFirstToken());
      case KV -> onKv(response.getKv());
      case DONE -> events.done(response.getDone().getTiming());
      case MEDIA_RECEIVED, EVENT_NOT_SET -> {}
    }
  }

  private void onFirstToken(FirstToken first) {
    firstToken = first;
    placement.prefill().worked();
    events.firstToken(first);
    if (over) {
      return;
    }
    if (events.isAnswered()) {
      cancelCalls("a stop string ended the answer");
    } else if (first.getFinishReason() != FinishReason.FINISH_REASON_UNSPECIFIED) {
      events.finished(first.getFinishReason());
      handoff.cancel("the answer ended with its first token");
      halfClosePrefill();
    } else {
      handoff.firstToken(first);
    }
    events.settle();
  }

  private void onKv(KvReady kv) {
    if (!events.isAnswered()) {
      handoff.kv(kv);
    }
  }

  private void prefillEnded() {
    if (!events.isAnswered() && (firstToken == null || !handoff.isCovered())) {
      defect(
          "The prefill node ended its work without %s."
              .formatted(firstToken == null ? "a token" : "the KV blocks"));
    }
    events.settle();
  }

  private void prefillFailed(StageFailure failure) {
    // Nothing of prefill's is needed once decode has the KV blocks.
    if (!handoff.isReceived() && !events.isAnswered()) {
      lost(failure);
    }
    events.settle();
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
            .setPromptTokens(prepared.promptTokens() + sent.length)
            .setSampling(sampling)
            .setAdapter(prepared.adapter())
            .setTenant(prepared.request().tenant())
            .setPriority(prepared.request().priority());
    slo.tpotMs().ifPresent(start::setTpotMs);
    Penalties penalties = prepared.request().sampling().penalties();
    if (penalties.countsPrompt()) {
      IntStream.of(prepared.prompt().tokenIds()).distinct().forEach(start::addPromptTokenIds);
    }
    if (penalties.countsAnswer()) {
      IntStream.of(sent).forEach(start::addAnswerTokenIds);
    }
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
      events.tokens(sampled);
      if (!over && events.isAnswered()) {
        cancelCalls("a stop string ended the answer");
        events.settle();
      }
    }

    @Override
    public void done(DecodeDone done) {
      events.done(done.getTiming());
      switch (done.getFinishReason()) {
        case FINISH_REASON_STOP, FINISH_REASON_LENGTH -> events.finished(done.getFinishReason());
        case FINISH_REASON_ABORT, FINISH_REASON_UNSPECIFIED, UNRECOGNIZED ->
            defect("The decode node ended the answer with %s.".formatted(done.getFinishReason()));
      }
      events.settle();
    }

    @Override
    public void ended() {
      if (!events.isAnswered()) {
        defect("The decode node ended its work without saying why.");
      }
      events.settle();
    }

    @Override
    public void failed(StageFailure failure) {
      if (!events.isAnswered()) {
        lost(failure);
      }
      events.settle();
    }
  }

  // The end, in order or not.

  /** Whether no node has anything of this attempt any more. */
  boolean hasEnded() {
    StageCall<?, ?> decode = handoff.call();
    return encoding.hasEnded()
        && (prefill == null || prefill.ended())
        && (decode == null || decode.ended());
  }

  /** Ends every call at once and gives the seats back; nothing more is told. */
  void stop(String why) {
    over = true;
    cancelCalls(why);
    placement.release();
  }

  private void lost(StageFailure failure) {
    if (!over) {
      events.lost(failure);
    }
  }

  private void defect(String message) {
    if (!over) {
      events.defect(message);
    }
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
}
