package io.epidote.router.cluster;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.node.grpc.GrpcTransport;
import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.stage.v1.RegisterRequest;
import io.epidote.proto.stage.v1.RegisterResponse;
import io.epidote.proto.stage.v1.RegistryServiceGrpc;
import io.epidote.proto.stage.v1.ReportNow;
import io.epidote.proto.stage.v1.Welcome;
import io.epidote.proto.v1.NodeStatus;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Membership: a node belongs to the cluster from its accepted hello to the end of its stream. A
 * node that reports no load for a while is taken for lost, and calls to it end: a process that
 * stands still keeps its connections. When it goes on, it registers again.
 */
public final class RegistryEndpoint extends RegistryServiceGrpc.RegistryServiceImplBase {
  private static final Logger log = LoggerFactory.getLogger(RegistryEndpoint.class);
  private static final int REPORT_INTERVAL_MS = 500;

  private final Cluster cluster;
  private final String model;
  private final String fingerprint;
  private final String version;
  private final Duration silence;
  private final Function<String, ManagedChannel> toNode;
  private final ScheduledThreadPoolExecutor timer;
  private final Map<String, Registration> registrations = new ConcurrentHashMap<>();
  private final AtomicLong nonces = new AtomicLong();

  /**
   * @param model name of the served model, for messages
   * @param fingerprint that every node's checkpoint must have
   * @param version of Epidote that every node must run
   * @param silence after which a node that says nothing is taken for lost
   * @param toNode a channel to the address {@code host:port} of a node
   */
  public RegistryEndpoint(
      Cluster cluster,
      String model,
      String fingerprint,
      String version,
      Duration silence,
      Function<String, ManagedChannel> toNode) {
    this.cluster = cluster;
    this.model = model;
    this.fingerprint = fingerprint;
    this.version = version;
    this.silence = silence;
    this.toNode = toNode;
    this.timer =
        new ScheduledThreadPoolExecutor(
            1, Thread.ofPlatform().daemon().name("node-silence").factory());
    timer.scheduleWithFixedDelay(
        this::loseSilent, REPORT_INTERVAL_MS, REPORT_INTERVAL_MS, TimeUnit.MILLISECONDS);
  }

  private void loseSilent() {
    long before = System.nanoTime() - silence.toNanos();
    registrations.values().stream()
        .filter(registration -> registration.heardAt - before < 0)
        .toList()
        .forEach(Registration::lose);
  }

  @Override
  public StreamObserver<RegisterRequest> register(StreamObserver<RegisterResponse> responses) {
    return new Registration((ServerCallStreamObserver<RegisterResponse>) responses);
  }

  /**
   * Asks every node for its load now. Blocks until all have answered, or {@code atMost}; the late
   * ones are shown as last reported.
   */
  public List<NodeStatus> freshLoad(Duration atMost) {
    CompletableFuture<?>[] reports =
        registrations.values().stream()
            .map(Registration::reportNow)
            .toArray(CompletableFuture<?>[]::new);
    CompletableFuture.allOf(reports)
        .completeOnTimeout(null, atMost.toMillis(), TimeUnit.MILLISECONDS)
        .exceptionally(gone -> null)
        .join();
    return latestLoad();
  }

  /** The load that each node last reported. */
  public List<NodeStatus> latestLoad() {
    return cluster.members().stream().map(Member::status).toList();
  }

  /** Ends every registration. */
  public void close() {
    timer.shutdownNow();
    registrations
        .values()
        .forEach(registration ->
            registration.close(
                new EpidoteException.Unavailable(
                    "The router is shutting down; register with another, or again later.")));
  }

  private void check(NodeHello hello) {
    NodeStatus status = hello.getStatus();
    String node = "Node %s".formatted(status.getNodeId());
    if (status.getNodeId().isEmpty()) {
      throw new EpidoteException.InvalidRequest(
          "The hello names no node_id; give the node one with --id.");
    }
    if (!hello.getVersion().equals(version)) {
      throw refused(
          "%s runs Epidote %s, this router %s; run the same version on every member of a cluster."
              .formatted(node, hello.getVersion(), version));
    }
    if (!hello.getFingerprint().equals(fingerprint)) {
      throw refused(
          "%s serves %s with fingerprint %s, this router %s with %s; start both with the same model folder."
              .formatted(node, hello.getModel(), hello.getFingerprint(), model, fingerprint));
    }
    if (status.getStagesList().stream().noneMatch(StageNames.ALL::contains)) {
      throw new EpidoteException.InvalidRequest(
          "%s names no stage; expected some of encode, prefill, decode.".formatted(node));
    }
    GrpcTransport.parse(status.getAddress());
  }

  private static RuntimeException refused(String message) {
    return Status.FAILED_PRECONDITION.withDescription(message).asRuntimeException();
  }

  /** One node's stream. gRPC calls it from one thread at a time; the router asks from others. */
  private final class Registration implements StreamObserver<RegisterRequest> {
    private final ServerCallStreamObserver<RegisterResponse> responses;
    private final Map<Long, CompletableFuture<NodeStatus>> asked = new ConcurrentHashMap<>();
    private volatile @Nullable Member member;
    private volatile long heardAt = System.nanoTime();
    private boolean ended;
    private boolean answered;

    Registration(ServerCallStreamObserver<RegisterResponse> responses) {
      this.responses = responses;
      responses.setOnCancelHandler(() -> leave("its connection ended"));
    }

    @Override
    public void onNext(RegisterRequest request) {
      heardAt = System.nanoTime();
      try {
        switch (request.getEventCase()) {
          case HELLO -> join(request.getHello());
          case LOAD -> report(request.getLoad());
          case EVENT_NOT_SET ->
              throw new EpidoteException.InvalidRequest(
                  "A registration message holds neither hello nor load.");
        }
      } catch (RuntimeException e) {
        log.warn("Refused a node: {}", e.getMessage());
        close(e);
      }
    }

    @Override
    public void onError(Throwable error) {
      leave("its stream failed: " + error.getMessage());
    }

    @Override
    public void onCompleted() {
      leave("it said goodbye");
      synchronized (responses) {
        if (!answered) {
          answered = true;
          responses.onCompleted();
        }
      }
    }

    CompletableFuture<NodeStatus> reportNow() {
      long nonce = nonces.incrementAndGet();
      CompletableFuture<NodeStatus> report = new CompletableFuture<>();
      asked.put(nonce, report);
      send(
          RegisterResponse.newBuilder()
              .setReportNow(ReportNow.newBuilder().setNonce(nonce))
              .build());
      synchronized (this) {
        if (ended) {
          report.cancel(false);
        }
      }
      return report;
    }

    private void join(NodeHello hello) {
      check(hello);
      Member joined = new Member(hello, toNode.apply(hello.getStatus().getAddress()));
      Registration earlier;
      try {
        earlier = enroll(joined);
      } catch (RuntimeException e) {
        joined.leave();
        throw e;
      }
      if (earlier != null) {
        // A node that was started again at once: its first stream is not yet known to be dead.
        earlier.close(
            Status.ABORTED.withDescription("The node registered again.").asRuntimeException());
      }
      // A node that is welcomed is in the cluster already.
      enter(joined);
      send(
          RegisterResponse.newBuilder()
              .setWelcome(Welcome.newBuilder().setReportIntervalMs(REPORT_INTERVAL_MS))
              .build());
      log.info("Node {} joined from {} with {}", joined.id(), joined.address(), names(joined));
    }

    /** Returns the registration that this one takes the place of. */
    private @Nullable Registration enroll(Member joined) {
      synchronized (registrations) {
        if (member != null) {
          throw new EpidoteException.InvalidRequest(
              "Node %s said hello twice on one stream.".formatted(joined.id()));
        }
        Registration earlier = registrations.get(joined.id());
        if (earlier != null && !earlier.isAt(joined.address())) {
          throw Status.ALREADY_EXISTS
              .withDescription(
                  "Another node %s is registered from another address; give every node an --id of its own."
                      .formatted(joined.id()))
              .asRuntimeException();
        }
        member = joined;
        registrations.put(joined.id(), this);
        return earlier;
      }
    }

    /** Shows the node to requests, unless its stream has ended meanwhile. */
    private synchronized void enter(Member joined) {
      if (!ended) {
        cluster.add(joined);
      }
    }

    private void report(NodeLoad load) {
      Member reporter = requireHello();
      reporter.report(load);
      CompletableFuture<NodeStatus> waiting = asked.remove(load.getNonce());
      if (waiting != null) {
        waiting.complete(load.getStatus());
      }
    }

    /** Nothing was heard of the node for too long. */
    private void lose() {
      Member lost = member;
      close(
          new EpidoteException.Unavailable(
              "The router heard nothing of the node for %d ms; register again."
                  .formatted(silence.toMillis())));
      if (lost != null) {
        lost.giveUp();
      }
    }

    private Member requireHello() {
      Member known = member;
      if (known == null) {
        throw new EpidoteException.InvalidRequest("The first registration message must be hello.");
      }
      return known;
    }

    private boolean isAt(String address) {
      Member known = member;
      return known != null && known.address().equals(address);
    }

    private void send(RegisterResponse response) {
      synchronized (responses) {
        if (!answered && !responses.isCancelled()) {
          responses.onNext(response);
        }
      }
    }

    private void close(RuntimeException reason) {
      leave(requireNonNull(reason.getMessage()));
      synchronized (responses) {
        if (!answered && !responses.isCancelled()) {
          answered = true;
          responses.onError(GrpcErrors.toStatus(reason));
        }
      }
    }

    private void leave(String why) {
      Member left;
      synchronized (this) {
        if (ended) {
          return;
        }
        ended = true;
        left = member;
      }
      asked.values().forEach(report -> report.cancel(false));
      if (left != null) {
        synchronized (registrations) {
          registrations.remove(left.id(), this);
        }
        cluster.remove(left);
        left.leave();
        log.info("Node {} left: {}", left.id(), why);
      }
    }

    private String names(Member of) {
      return String.join(", ", of.stages().stream().map(StageNames::of).toList());
    }
  }
}
