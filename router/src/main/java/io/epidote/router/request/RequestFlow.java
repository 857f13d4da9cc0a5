package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.engine.Flow;
import io.epidote.router.access.Caller;
import io.epidote.router.access.TenantRates;
import io.epidote.router.adapters.AdapterGate;
import io.epidote.router.auto.RequestClassifier;
import io.epidote.router.cluster.Cluster;
import io.micrometer.core.instrument.MeterRegistry;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** All requests of this router: starts them, finds them for Abort, ends them. Thread-safe. */
public final class RequestFlow implements AutoCloseable {
  private final Map<String, RunningRequest> running = new ConcurrentHashMap<>();

  /** Notified whenever a request has ended. */
  private final Object idle = new Object();

  private final Admission admission;
  private final RunningRequest.Surroundings around;
  private final ScheduledThreadPoolExecutor timer;
  private final Executor threads;
  private final AdapterChoice choice;
  private final List<Consumer<EndedRequest>> endListeners = new CopyOnWriteArrayList<>();
  private final Tenants tenants;

  /**
   * What tenants may.
   *
   * @param rates that they are held to
   * @param shareCaches whether they find each other's cached prompts
   */
  public record Tenants(TenantRates rates, boolean shareCaches) {}

  /**
   * @param threads for work that blocks: virtual threads
   * @param timeout of a request from its admission to its end
   * @param recoveryWait how long an answer may be without a node or a token before it is given up
   * @param overlap whether a stage may begin while the one before is still at work
   * @param slo of requests that say none
   * @param refusesLate whether requests are refused that are predicted to miss it
   * @param classifier chooses the adapter of requests to MODEL:auto
   * @param tenants what they may
   * @param watch tells of every request
   * @param gate that lets no adapter change between prefill and decode
   */
  public RequestFlow(
      ServedModel model,
      Cluster cluster,
      Admission admission,
      int maxMediaItems,
      Duration timeout,
      Duration recoveryWait,
      boolean overlap,
      Slo slo,
      boolean refusesLate,
      Optional<RequestClassifier> classifier,
      Tenants tenants,
      AdapterGate gate,
      RequestWatch watch,
      MeterRegistry meters,
      Executor threads) {
    this.admission = admission;
    this.tenants = tenants;
    this.threads = threads;
    this.choice = new AdapterChoice(model.name(), classifier, cluster::adapters, meters);
    this.timer =
        new ScheduledThreadPoolExecutor(
            1, Thread.ofPlatform().daemon().name("request-timer").factory());
    timer.setRemoveOnCancelPolicy(true);
    this.around =
        new RunningRequest.Surroundings(
            model,
            cluster,
            new Preparation(model, maxMediaItems),
            timer,
            new RequestMetrics(meters, model.name(), admission),
            gate,
            watch,
            new FirstTokenMargin(),
            overlap,
            slo,
            refusesLate,
            timeout.toMillis(),
            recoveryWait.toMillis());
  }

  public ServedModel model() {
    return around.model();
  }

  /**
   * The request with the adapter that is chosen for it, when it asks for {@code MODEL:auto}; any
   * other request as it is.
   *
   * @throws EpidoteException.NotFound when this router has no classifier
   */
  public GenerationRequest addressed(GenerationRequest request) {
    return choice.addressed(request);
  }

  /**
   * Admits a request and starts it on a thread of its own; returns at once.
   *
   * @param arrivalNanos {@link System#nanoTime} when the request arrived
   * @throws EpidoteException when it is not even queued; then the listener hears nothing
   */
  public RunningRequest start(
      GenerationRequest request, long arrivalNanos, AnswerListener listener) {
    RunningRequest admitted = admit(request, arrivalNanos, listener);
    threads.execute(admitted::run);
    return admitted;
  }

  /**
   * Admits a request, which the caller has to {@link RunningRequest#run run}.
   *
   * @param arrivalNanos {@link System#nanoTime} when the request arrived
   * @throws EpidoteException when it is not even queued; then the listener hears nothing
   */
  public RunningRequest admit(
      GenerationRequest request, long arrivalNanos, AnswerListener listener) {
    try {
      return tryAdmit(request, arrivalNanos, listener);
    } catch (EpidoteException e) {
      around.metrics().failed(e);
      throw e;
    }
  }

  private RunningRequest tryAdmit(
      GenerationRequest asked, long arrivalNanos, AnswerListener listener) {
    GenerationRequest request = tenants.shareCaches() ? asked : asked.apart();
    around.preparation().check(request);
    String adapter = request.adapter(around.model().name());
    if (!adapter.isEmpty()) {
      around.cluster().checkAdapter(adapter);
    }
    // First, because whoever is queued may push out somebody else.
    TenantRates.Use use = tenants.rates().begin(request.tenant());
    Admission.Ticket ticket;
    try {
      ticket = enter(request, adapter);
    } catch (EpidoteException e) {
      use.ended();
      tell(refused(request, arrivalNanos, e));
      throw e;
    }
    RunningRequest admitted =
        new RunningRequest(
            request,
            new CountedAnswer(listener, use),
            ticket,
            around,
            arrivalNanos,
            over -> {
              use.ended();
              ended(over);
            });
    if (running.putIfAbsent(request.id(), admitted) != null) {
      ticket.close();
      use.ended();
      throw new EpidoteException.InvalidRequest(
          "A request with the id \"%s\" is at work already; send another id, or none."
              .formatted(request.id()));
    }
    return admitted;
  }

  private Admission.Ticket enter(GenerationRequest request, String adapter) {
    Slo slo = request.slo().or(around.slo());
    double waitMs = admission.expectedWaitMs();
    if (around.refusesLate() && !slo.lateOk() && slo.isMissedBy(waitMs)) {
      around.metrics().refusedLate();
      throw tooLate(waitMs, slo);
    }
    return admission.enter(
        new Flow(request.tenant(), adapter, request.priority()),
        around.preparation().predictedTokens(request));
  }

  /**
   * @param predictedMs until the first token
   * @param left of its target
   */
  static EpidoteException tooLate(double predictedMs, Slo left) {
    double leftMs = left.ttftMs().orElse(0);
    return new EpidoteException.Exhausted(
        (leftMs <= 0
                ? "The first token is late already"
                : "The first token is expected in %.0f ms or more, but its target is %.0f ms from now"
                    .formatted(predictedMs, leftMs))
            + "; try again later, raise the target (slo_ttft_ms, or x-epidote-slo-ttft-ms over HTTP), or say that late is better than never (late_ok, or x-epidote-late-ok: true).");
  }

  private void ended(EndedRequest request) {
    synchronized (idle) {
      running.remove(request.id());
      idle.notifyAll();
    }
    tell(request);
  }

  private EndedRequest refused(
      GenerationRequest request, long arrivalNanos, EpidoteException error) {
    return new EndedRequest(
        request.id(),
        request.shownModel(around.model().name()),
        0,
        0,
        0,
        EndedRequest.Outcome.of(error),
        (System.nanoTime() - arrivalNanos) / 1e6,
        OptionalDouble.empty(),
        OptionalDouble.empty(),
        request.slo().or(around.slo()),
        List.of());
  }

  /**
   * Tells {@code listener} of every request that ends, those that were not admitted included. It is
   * called within the request's turn and must not block.
   */
  public void onEnd(Consumer<EndedRequest> listener) {
    endListeners.add(listener);
  }

  private void tell(EndedRequest request) {
    endListeners.forEach(listener -> listener.accept(request));
  }

  /** An id that no running request has, {@code wanted} itself when that is free. */
  public String freeId(String wanted) {
    return running.containsKey(wanted) ? wanted + "-" + newId() : wanted;
  }

  public static String newId() {
    return "%016x".formatted(ThreadLocalRandom.current().nextLong());
  }

  /**
   * Ends a running request; false when there is none of that id.
   *
   * @param caller only its own requests, where it is certain who it is
   */
  public boolean abort(String id, Caller caller) {
    RunningRequest found = running.get(id);
    if (found == null || (caller.certain() && !found.tenant().equals(caller.tenant()))) {
      return false;
    }
    found.abort();
    return true;
  }

  /**
   * Adapters with requests, by name.
   *
   * @param running requests that are at work
   * @param waiting requests that wait to be admitted
   */
  public record AdapterUse(Map<String, Integer> running, Map<String, Integer> waiting) {}

  /** What each adapter has to do now. */
  public AdapterUse adapterUse() {
    AdapterUse use = new AdapterUse(new TreeMap<>(), new TreeMap<>());
    for (RunningRequest request : running.values()) {
      String adapter = request.adapter();
      if (!adapter.isEmpty()) {
        (request.isAdmitted() ? use.running() : use.waiting()).merge(adapter, 1, Integer::sum);
      }
    }
    return use;
  }

  public int inFlight() {
    return admission.running();
  }

  /** Requests that wait to be admitted. */
  public int waiting() {
    return admission.waiting();
  }

  /** What requests can name as their model now: the base, its adapters, and the choice of one. */
  public List<String> models() {
    String name = around.model().name();
    List<String> names = new ArrayList<>(List.of(name));
    choice
        .names(around.cluster().adapters())
        .forEach(adapter -> names.add(name + GenerationRequest.ADAPTER + adapter));
    return names;
  }

  /** Targets of requests that say none. */
  public Slo slo() {
    return around.slo();
  }

  /** Admits nothing more, waits for what runs, and cancels what has not ended by then. */
  public void drain(Duration atMost) throws InterruptedException {
    admission.close();
    long deadline = System.nanoTime() + atMost.toNanos();
    synchronized (idle) {
      long left = atMost.toMillis();
      while (!running.isEmpty() && left > 0) {
        idle.wait(left);
        left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
      }
    }
    List.copyOf(running.values()).forEach(RunningRequest::abort);
  }

  @Override
  public void close() {
    List.copyOf(running.values()).forEach(RunningRequest::cancel);
    timer.shutdownNow();
  }
}
