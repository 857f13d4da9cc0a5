package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.model.DecoderShape;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.StageTiming;
import io.epidote.router.adapters.AdapterGate;
import io.epidote.router.cluster.Cluster;
import io.epidote.router.cluster.Member;
import io.epidote.router.cluster.Placement;
import io.grpc.SynchronizationContext;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A request from its admission to its end. {@link #run} reads as its story; everything after the
 * preparation happens in the request's turn, one thing at a time. It ends exactly once: complete,
 * failed, or cancelled.
 */
public final class RunningRequest {
  private static final Logger log = LoggerFactory.getLogger(RunningRequest.class);

  /** How soon nodes are looked for again when a stage has none. */
  private static final long NO_NODES_DELAY_MS = 50;

  /** How long a complete answer waits for the nodes to report and let go by themselves. */
  private static final long SETTLE_MS = 1000;

  /** What a request needs of its surroundings. */
  record Surroundings(
      ServedModel model,
      Cluster cluster,
      Preparation preparation,
      ScheduledExecutorService timer,
      RequestMetrics metrics,
      AdapterGate gate,
      RequestWatch watch,
      FirstTokenMargin margin,
      boolean overlap,
      Slo slo,
      boolean refusesLate,
      long timeoutMs,
      long recoveryWaitMs) {}

  private final GenerationRequest request;
  private final AnswerListener listener;
  private final Admission.Ticket ticket;
  private final Surroundings around;
  private final Consumer<EndedRequest> onEnd;
  private final RequestMetrics.Recording recording;
  private final Punctuality punctuality;
  private final RequestWatch.Story story;
  private final RequestTimelines timelines;
  private final SynchronizationContext turn =
      new SynchronizationContext((thread, error) -> unexpected(error));

  // Only within the turn:
  private final List<Generation> generations = new ArrayList<>();

  /**
   * Those that begin when the first one's prompt is done and can be found in a prefix cache, so
   * that it is computed once for all of them.
   */
  private final Queue<Generation> siblings = new ArrayDeque<>();

  private int incomplete;

  /** Generations that no decode node has taken yet. */
  private int arriving;

  private AdapterGate.@Nullable Pass pass;
  private @Nullable PreparedRequest prepared;
  private @Nullable ScheduledFuture<?> timeout;

  /**
   * Ends a complete answer whose nodes do not let go. Cancelled, or it would keep it all as long.
   */
  private @Nullable ScheduledFuture<?> settling;

  private boolean over;

  RunningRequest(
      GenerationRequest request,
      AnswerListener listener,
      Admission.Ticket ticket,
      Surroundings around,
      long arrivalNanos,
      Consumer<EndedRequest> onEnd) {
    this.request = request;
    this.listener = listener;
    this.ticket = ticket;
    this.around = around;
    this.onEnd = onEnd;
    this.story = around.watch().begin(request);
    this.recording = around.metrics().arrived(arrivalNanos, story.span());
    this.punctuality = new Punctuality(targets(), around.refusesLate(), around.margin(), recording);
    this.timelines = new RequestTimelines(recording, punctuality);
  }

  private Slo targets() {
    return request.slo().or(around.slo());
  }

  public String id() {
    return request.id();
  }

  /** The adapter's name, empty for none. */
  String adapter() {
    return request.adapter(around.model().name());
  }

  boolean isAdmitted() {
    return ticket.isAdmitted();
  }

  /**
   * Waits for a place, prepares the prompt and starts the answers. Blocks: for a virtual thread.
   * Called once.
   */
  public void run() {
    try {
      awaitPlace();
      recording.hasPlace();
      PreparedRequest ready = around.preparation().prepare(request);
      AdapterGate.Pass entered = around.gate().enter(ready.adapter());
      turn.execute(() -> start(ready, entered));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      turn.execute(() -> fail(new EpidoteException.Unavailable("The router is shutting down.", e)));
    } catch (CancellationException e) {
      turn.execute(() -> end(FinishReason.FINISH_REASON_ABORT));
    } catch (EpidoteException e) {
      turn.execute(() -> fail(e));
    } catch (InvalidField e) {
      turn.execute(() -> fail(e.toException()));
    } catch (RuntimeException | StackOverflowError e) {
      unexpected(e);
    }
  }

  /** No longer than until the first token would be late, if late ones are refused. */
  private void awaitPlace() throws InterruptedException {
    if (!punctuality.refuses()) {
      ticket.await();
    } else if (!ticket.await(punctuality.leftMs())) {
      ticket.close();
      throw punctuality.tooLate();
    }
  }

  private void start(PreparedRequest ready, AdapterGate.Pass entered) {
    if (over) {
      entered.leave();
      return;
    }
    pass = entered;
    prepared = ready;
    begin(ready, System.nanoTime());
  }

  /**
   * Chooses nodes and starts the answers; where a stage has just lost its last node, later.
   *
   * @param since when that was first tried
   */
  private void begin(PreparedRequest ready, long since) {
    if (over) {
      return;
    }
    Slo left = punctuality.left();
    for (int choice = 0; choice < request.choices(); choice++) {
      generations.add(
          new Generation(
              ready,
              choice,
              (tokens, avoiding) -> place(ready, tokens, avoiding),
              around.overlap(),
              left,
              new AnswerText(
                  around.model().newText(),
                  request.sampling().stop(),
                  request.sampling().minTokens()),
              around.model()::isEnd,
              new Recovery(around.recoveryWaitMs(), System::nanoTime),
              story.span(),
              turn,
              new Answers()));
    }
    boolean worthWaiting = ready.promptTokens() > DecoderShape.BLOCK_TOKENS;
    List<Generation> first = worthWaiting ? generations.subList(0, 1) : generations;
    siblings.addAll(generations.subList(first.size(), generations.size()));
    try {
      first.forEach(Generation::place);
      punctuality.placed(
          first.stream().flatMap(generation -> generation.placement().stream()).toList());
    } catch (EpidoteException.Unavailable e) {
      noNodes(ready, since, e);
      return;
    } catch (EpidoteException e) {
      fail(e);
      return;
    }
    first.forEach(this::placed);
    around
        .cluster()
        .demand()
        .arrived(
            ready.items().size(),
            ready.prompt().spans().size(),
            ready.promptTokens(),
            ready.maxTokens(),
            request.sampling().ignoreEos());
    incomplete = generations.size();
    arriving = generations.size();
    timeout = later(this::timedOut, around.timeoutMs());
    recording.admitted(targets());
    listener.started(request.id(), ready.promptTokens(), ready.prompt().mediaTokens());
    // A generation that fails at once ends the request while this list is walked.
    for (Generation generation : List.copyOf(first)) {
      if (!over) {
        generation.start();
      }
    }
  }

  private void startSiblings() {
    for (Generation next = siblings.poll(); next != null && !over; next = siblings.poll()) {
      next.start();
      placed(next);
    }
  }

  private void placed(Generation generation) {
    generation.placement().ifPresent(placement -> recording.placed(placement.topology()));
  }

  /**
   * A node that was lost, restarts or is switched is waited for, a stage that nobody had is not.
   */
  private void noNodes(PreparedRequest ready, long since, EpidoteException.Unavailable why) {
    generations.forEach(generation -> generation.stop("a stage has no node"));
    generations.clear();
    siblings.clear();
    long waitedMs = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - since);
    if (punctuality.isTooLate()) {
      fail(punctuality.tooLate());
    } else if (waitedMs < around.recoveryWaitMs()
        && around.cluster().comesBack(!ready.items().isEmpty(), around.recoveryWaitMs())) {
      var unused = later(() -> begin(ready, since), NO_NODES_DELAY_MS);
    } else {
      fail(why);
    }
  }

  private Placement place(PreparedRequest ready, int tokens, Set<Member> avoiding) {
    return around.cluster().place(ready.items(), tokens, ready.prefix(), ready.adapter(), avoiding);
  }

  /** The client is gone: everything ends at once and nobody is told. */
  public void cancel() {
    ticket.close();
    turn.execute(() -> end(FinishReason.FINISH_REASON_ABORT));
  }

  String tenant() {
    return request.tenant();
  }

  /** The answers end early, with what they have so far. */
  public void abort() {
    ticket.close();
    turn.execute(() -> {
      if (over) {
        return;
      }
      if (generations.isEmpty()) {
        for (int choice = 0; choice < request.choices(); choice++) {
          listener.finished(
              timelines.unanswered(choice, FinishReason.FINISH_REASON_ABORT, prepared));
        }
        end(FinishReason.FINISH_REASON_ABORT);
        listener.ended();
      } else {
        List.copyOf(generations).forEach(Generation::abort);
      }
    });
  }

  private void timedOut() {
    fail(
        new EpidoteException.Unavailable(
            "The request took longer than %d s, the most that this router allows; ask for fewer tokens, or raise the limit."
                .formatted(TimeUnit.MILLISECONDS.toSeconds(around.timeoutMs()))));
  }

  private void fail(EpidoteException error) {
    if (!over) {
      around.metrics().failed(error);
      story.failed(error);
      end(null, EndedRequest.Outcome.of(error));
      listener.failed(error);
    }
  }

  private void end(FinishReason reason) {
    end(reason, EndedRequest.Outcome.of(reason));
  }

  /** Frees everything; only the first call does anything. A null reason is a failure. */
  private void end(@Nullable FinishReason reason, EndedRequest.Outcome outcome) {
    if (over) {
      return;
    }
    over = true;
    leaveGate();
    generations.forEach(generation -> generation.stop("the request ended"));
    cancel(timeout);
    cancel(settling);
    int promptTokens = prepared == null ? 0 : prepared.promptTokens();
    int answerTokens = generations.stream().mapToInt(Generation::tokens).sum();
    ticket.worked(promptTokens + answerTokens);
    ticket.close();
    recording.ended(reason, promptTokens);
    story.ended(reason, promptTokens, answerTokens, () -> timelines.router(generations));
    onEnd.accept(
        new EndedRequest(
            request.id(),
            request.shownModel(around.model().name()),
            prepared == null ? 0 : prepared.items().size(),
            promptTokens,
            answerTokens,
            outcome,
            recording.ageMs(),
            recording.ttftMs(),
            recording.tpotMs(),
            targets(),
            timelines.all(generations)));
  }

  private static void cancel(@Nullable ScheduledFuture<?> later) {
    if (later != null) {
      later.cancel(false);
    }
  }

  private void leaveGate() {
    if (pass != null) {
      pass.leave();
      pass = null;
    }
  }

  private void unexpected(Throwable error) {
    log.atError()
        .addKeyValue("request_id", request.id())
        .setCause(error)
        .log("Request {} met a defect", request.id());
    turn.execute(() ->
        fail(
            new EpidoteException.Internal(
                "Internal error (%s); the router's log has the details."
                    .formatted(error.getClass().getSimpleName()),
                error)));
  }

  private ScheduledFuture<?> later(Runnable action, long ms) {
    return around.timer().schedule(() -> turn.execute(action), ms, TimeUnit.MILLISECONDS);
  }

  /** What the answers tell; always within the turn. */
  private final class Answers implements Generation.Events {
    @Override
    public boolean chunk(AnswerListener.Piece chunk) {
      punctuality.firstToken();
      recording.tokens(chunk.tokens().size());
      story.text(chunk);
      boolean taken = listener.chunk(chunk);
      if (taken && !chunk.tokens().isEmpty()) {
        startSiblings();
      }
      return taken;
    }

    @Override
    public void arrived() {
      arriving--;
      if (arriving == 0) {
        leaveGate();
      }
    }

    @Override
    public void complete(Generation generation, FinishReason reason) {
      List<StageTiming> timings = generation.timings();
      timings.forEach(recording::stage);
      listener.finished(timelines.finish(generation, reason, timings, prepared));
      if (reason == FinishReason.FINISH_REASON_STOP) {
        around.cluster().demand().answered(generation.tokens());
      }
      incomplete--;
      if (incomplete == 0) {
        end(reason);
        listener.ended();
      }
    }

    @Override
    public void failed(EpidoteException error) {
      fail(error);
    }

    @Override
    public void lost(StageFailure failure) {
      recording.lost(failure.seat().stage());
    }

    @Override
    public void tryAgainLater(Generation generation, long ms) {
      var unused = later(generation::tryAgain, ms);
    }

    @Override
    public void settleLater(Generation generation) {
      if (settling == null) {
        settling =
            later(
                () -> {
                  settling = null;
                  generations.forEach(Generation::settleNow);
                },
                SETTLE_MS);
      }
    }
  }
}
