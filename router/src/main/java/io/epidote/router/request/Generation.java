package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.trace.OpenSpan;
import io.epidote.proto.stage.v1.FirstToken;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.StageTiming;
import io.epidote.router.cluster.Member;
import io.epidote.router.cluster.Placement;
import io.grpc.SynchronizationContext;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One answer: its text, its tokens, and the attempts that make them. A stage that is lost costs the
 * attempt, not the answer: the next one prefills the prompt with the tokens that the client has,
 * and goes on after the last of them. Tokens are drawn by seed and position, so that they are the
 * same.
 *
 * <p>Everything happens in the request's turn: nothing here is called by two threads at once. When
 * the answer ends for whatever reason, every call has ended or is cancelled, and every seat is
 * given back.
 */
final class Generation {
  private static final Logger log = LoggerFactory.getLogger(Generation.class);

  /** What the request hears of its answers. */
  interface Events {
    /** Returns false when the client reads too slowly. */
    boolean chunk(AnswerListener.Piece chunk);

    /** A decode node has taken the answer on, with its adapter; told once. */
    void arrived();

    /** The answer is complete and nothing is held for it anywhere. */
    void complete(Generation generation, FinishReason reason);

    void failed(EpidoteException error);

    /** Runs {@link #settleNow} within the turn after a moment. */
    void settleLater(Generation generation);

    /** A stage of the answer was lost, which goes on. */
    void lost(StageFailure failure);

    /** Runs {@link #tryAgain} within the turn after so long. */
    void tryAgainLater(Generation generation, long ms);
  }

  /** Chooses nodes for an attempt. */
  interface Placing {
    /**
     * @param tokens of the prompt and of the answer so far
     * @param avoiding nodes that failed this answer, unless there are no others
     * @throws EpidoteException when no nodes can do it now
     */
    Placement place(int tokens, Set<Member> avoiding);
  }

  private final PreparedRequest prepared;
  private final int choice;
  private final String stageRequestId;
  private final Placing placing;
  private final boolean overlap;
  private final Slo slo;
  private final SynchronizationContext turn;
  private final Events events;
  private final AnswerText text;
  private final IntPredicate isEnd;
  private final Recovery recovery;
  private final OpenSpan span;
  private final TokenList tokens = new TokenList();
  private final List<StageTiming> timings = new ArrayList<>();

  /** The latest one; null before the first. */
  private @Nullable Attempt attempt;

  private boolean arrived;
  private @Nullable String adapterDigest;

  /** Set when the answer has its last token; what remains is to let the calls end. */
  private @Nullable FinishReason reason;

  /** Set when nothing more may happen. */
  private boolean over;

  /**
   * @param overlap whether a stage may begin while the one before is still at work
   * @param slo what is left of its targets now
   * @param isEnd whether a token ends an answer
   * @param span of the request
   */
  Generation(
      PreparedRequest prepared,
      int choice,
      Placing placing,
      boolean overlap,
      Slo slo,
      AnswerText text,
      IntPredicate isEnd,
      Recovery recovery,
      OpenSpan span,
      SynchronizationContext turn,
      Events events) {
    this.prepared = prepared;
    this.choice = choice;
    this.stageRequestId =
        prepared.request().choices() == 1
            ? prepared.request().id()
            : prepared.request().id() + "." + choice;
    this.placing = placing;
    this.overlap = overlap;
    this.slo = slo;
    this.text = text;
    this.isEnd = isEnd;
    this.recovery = recovery;
    this.span = span;
    this.turn = turn;
    this.events = events;
  }

  /**
   * Chooses the nodes of the first attempt, for {@link #start}.
   *
   * @throws EpidoteException when no nodes can do it now
   */
  void place() {
    attempt = newAttempt();
  }

  /** Begins where it was placed; what was not placed begins as soon as there are nodes. */
  void start() {
    if (attempt == null) {
      tryAgain();
    } else {
      attempt.start();
    }
  }

  private Attempt newAttempt() {
    Placement placement =
        placing.place(prepared.promptTokens() + tokens.size(), recovery.avoided());
    int number = recovery.losses();
    return new Attempt(
        prepared,
        tokens.toArray(),
        prepared.request().sampling().toProto(prepared.maxTokens(), tokens.size(), choice),
        number == 0 ? stageRequestId : stageRequestId + "~" + number,
        placement,
        overlap,
        slo,
        span,
        turn,
        new Stages());
  }

  int choice() {
    return choice;
  }

  int tokens() {
    return tokens.size();
  }

  /** Of the last attempt, if there was one. */
  Optional<Placement> placement() {
    return Optional.ofNullable(attempt).map(Attempt::placement);
  }

  /** How often a stage was lost. */
  int recoveries() {
    return recovery.losses();
  }

  /** What the stages accounted for, in the order of a request. */
  List<StageTiming> timings() {
    return timings.stream().sorted(Comparator.comparing(StageTiming::getStageValue)).toList();
  }

  /** What the attempt tells. An attempt that is over tells nothing. */
  private final class Stages implements Attempt.Events {
    @Override
    public void firstToken(FirstToken first) {
      if (adapterDigest == null) {
        adapterDigest = first.getAdapterDigest();
      }
      if (adapterDigest.equals(first.getAdapterDigest())) {
        show(List.of(first.getToken()));
      } else {
        fail(
            new EpidoteException.Unavailable(
                "A node was lost while it worked on the request, and its adapter has been replaced since it began; send the request again."));
      }
    }

    @Override
    public void tokens(List<SampledToken> sampled) {
      // A token of prefill's is none: who kills decode nodes has one from every attempt.
      recovery.progress();
      show(sampled);
    }

    @Override
    public boolean isAnswered() {
      return reason != null;
    }

    @Override
    public void finished(FinishReason why) {
      end(why);
    }

    @Override
    public void arrived() {
      if (!arrived) {
        arrived = true;
        events.arrived();
      }
    }

    @Override
    public void done(StageTiming timing) {
      timings.add(timing);
    }

    @Override
    public void settle() {
      Generation.this.settle();
    }

    @Override
    public void lost(StageFailure failure) {
      if (!over) {
        Generation.this.lost(failure);
      }
    }

    @Override
    public void defect(String message) {
      fail(new EpidoteException.Internal(message, new IllegalStateException(stageRequestId)));
    }
  }

  // A stage is lost.

  private void lost(StageFailure failure) {
    endAttempt("a stage was lost");
    if (hasLastToken()) {
      return;
    }
    EpidoteException refusal = recovery.lost(failure);
    if (refusal != null) {
      fail(refusal);
      return;
    }
    log.atInfo()
        .addKeyValue("request_id", stageRequestId)
        .log(
            "Request {} goes on elsewhere after {} tokens: {}",
            stageRequestId,
            tokens.size(),
            failure.error().getMessage());
    events.lost(failure);
    events.tryAgainLater(this, recovery.delayMs());
  }

  /** The decode node may be lost between the last token and saying so. */
  private boolean hasLastToken() {
    if (tokens.size() == prepared.maxTokens()) {
      end(FinishReason.FINISH_REASON_LENGTH);
    } else if (tokens.size() > 0
        && !prepared.request().sampling().ignoreEos()
        && isEnd.test(tokens.last())) {
      end(FinishReason.FINISH_REASON_STOP);
    }
    return reason != null;
  }

  /** Runs the answer's remaining part, if it still has one. */
  void tryAgain() {
    if (over || reason != null) {
      return;
    }
    Attempt next;
    try {
      next = newAttempt();
    } catch (EpidoteException e) {
      long wait = recovery.noPlace();
      if (wait < 0) {
        fail(recovery.noPlaceLeft(e));
      } else {
        events.tryAgainLater(this, wait);
      }
      return;
    }
    attempt = next;
    next.start();
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
    if (prepared.request().sampling().stopTokens().contains(token.getTokenId())) {
      reason = FinishReason.FINISH_REASON_STOP;
      return text.flush();
    }
    String completed = text.append(token.getTokenId());
    if (text.stopped()) {
      reason = FinishReason.FINISH_REASON_STOP;
    }
    return completed;
  }

  private void emit(List<SampledToken> counted, String shown) {
    counted.forEach(token -> tokens.add(token.getTokenId()));
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
    if (attempt == null || attempt.hasEnded()) {
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
    endAttempt(why);
  }

  private void endAttempt(String why) {
    if (attempt != null) {
      attempt.stop(why);
    }
  }

  private void fail(EpidoteException error) {
    if (!over) {
      stop("the request failed");
      events.failed(error);
    }
  }

  /** For logs. */
  @Override
  public String toString() {
    return stageRequestId;
  }
}
