package io.epidote.node.registry;

import static java.util.Objects.requireNonNull;

import io.epidote.node.grpc.ChannelKind;
import io.epidote.node.grpc.ChannelPool;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.stage.v1.RegisterRequest;
import io.epidote.proto.stage.v1.RegisterResponse;
import io.epidote.proto.stage.v1.RegistryServiceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps this node registered with one router: says hello, reports load twice a second and when
 * asked, and connects again for ever when the stream is lost. All its state belongs to the timer's
 * single thread.
 */
public final class RegistrationClient implements AutoCloseable {
  /** How much a report may wait for the engine thread. */
  public enum Freshness {
    /** Not at all: the load as it was last taken. */
    KNOWN,
    /** A little, so that reports go on while a step takes long. */
    RECENT,
    /** Until it is there, within reason: somebody asked for it. */
    ASKED
  }

  private static final Logger log = LoggerFactory.getLogger(RegistrationClient.class);
  private static final Duration REPORT_INTERVAL = Duration.ofMillis(500);
  private static final Duration FIRST_BACKOFF = Duration.ofMillis(100);
  private static final Duration LAST_BACKOFF = Duration.ofSeconds(5);

  private final String router;
  private final ChannelPool channels;
  private final ScheduledExecutorService timer;
  private final NodeHello hello;
  private final Function<Freshness, CompletableFuture<NodeLoad>> load;
  private @Nullable Stream stream;

  /** Counts connections that were begun: one that was begun later takes the place of another. */
  private long attempts;

  private CompletableFuture<Void> welcome = CompletableFuture.completedFuture(null);
  private Duration backoff = FIRST_BACKOFF;
  private boolean refusedBefore;
  private boolean closed;
  private volatile boolean registered;

  /** Whether to connect again when the stream has ended. */
  private boolean wanted = true;

  private boolean over;

  /**
   * @param router {@code host:port} of its gRPC server
   * @param timer one thread
   * @param hello without a status, which is asked for at each connection
   * @param load the node's present one
   */
  public RegistrationClient(
      String router,
      ChannelPool channels,
      ScheduledExecutorService timer,
      NodeHello hello,
      Function<Freshness, CompletableFuture<NodeLoad>> load) {
    this.router = requireNonNull(router, "router is null");
    this.channels = requireNonNull(channels, "channels is null");
    this.timer = requireNonNull(timer, "timer is null");
    this.hello = requireNonNull(hello, "hello is null");
    this.load = requireNonNull(load, "load is null");
  }

  public void start() {
    timer.execute(this::connect);
  }

  /** Whether the router has welcomed this node and the stream lives. */
  public boolean isRegistered() {
    return registered;
  }

  /** {@code host:port} of the router. */
  public String router() {
    return router;
  }

  /**
   * Says whether the router is still one to belong to. One that is not is left when its stream has
   * ended.
   *
   * @return false when this client has ended for that reason, and nothing starts it again
   */
  public boolean want(boolean still) {
    synchronized (this) {
      wanted = still;
      if (!still && !registered) {
        over = true;
      }
      if (!over) {
        return true;
      }
    }
    close();
    return false;
  }

  private synchronized boolean isWanted() {
    over = over || !wanted;
    return !over;
  }

  /** Leaves the cluster, as {@link #leave} does, without a word about when. */
  @Override
  public void close() {
    leave();
  }

  /**
   * Leaves the cluster; the router places nothing here from then on.
   *
   * @return done when the router has taken the goodbye, or none is connected. Whoever closes the
   *     connection before that may cut the goodbye off.
   */
  public CompletableFuture<Void> leave() {
    CompletableFuture<Void> left = new CompletableFuture<>();
    onTimer(
        () -> {
          closed = true;
          if (stream == null) {
            left.complete(null);
          } else {
            stream.leave();
            stream.ended.thenRun(() -> left.complete(null));
          }
        },
        left);
    return left;
  }

  /**
   * Reports now, with what is known without asking the engine thread.
   *
   * @return done when the report was handed to the connection, or there is none
   */
  public CompletableFuture<Void> reportNow() {
    CompletableFuture<Void> told = new CompletableFuture<>();
    onTimer(
        () -> {
          Stream present = stream;
          if (present == null || !registered) {
            told.complete(null);
          } else {
            load.apply(Freshness.KNOWN)
                .whenCompleteAsync(
                    (news, error) -> {
                      if (error == null) {
                        present.send(news, 0, false);
                      }
                      told.complete(null);
                    },
                    timer);
          }
        },
        told);
    return told;
  }

  /**
   * Says goodbye and hello again, because what the node is has changed: routers learn that from a
   * hello only.
   *
   * @return done when the router has welcomed the node, or none is connected
   */
  public CompletableFuture<Void> registerAgain() {
    CompletableFuture<Void> welcomed = new CompletableFuture<>();
    onTimer(
        () -> {
          Stream present = stream;
          if (present == null || closed) {
            // Whoever connects later says what the node is by then.
            welcomed.complete(null);
            return;
          }
          present.leave();
          stream = null;
          welcome = welcomed;
          connect();
        },
        welcomed);
    return welcomed;
  }

  private void onTimer(Runnable task, CompletableFuture<Void> done) {
    try {
      timer.execute(task);
    } catch (RejectedExecutionException e) {
      done.complete(null);
    }
  }

  private void connect() {
    if (closed) {
      return;
    }
    long attempt = ++attempts;
    load.apply(Freshness.ASKED)
        .whenCompleteAsync(
            (present, error) -> {
              if (error == null && !closed && attempt == attempts) {
                ManagedChannel channel = channels.channel(router, ChannelKind.CONTROL);
                // The channel's own backoff grows to minutes; a router that is back is wanted now.
                channel.resetConnectBackoff();
                stream = new Stream();
                RegistryServiceGrpc.newStub(channel).register(stream);
                stream.send(
                    RegisterRequest.newBuilder()
                        .setHello(hello.toBuilder().setStatus(present.getStatus()))
                        .build(),
                    false);
              }
            },
            timer);
  }

  private void disconnected(Stream ended, String why) {
    if (stream != ended || closed) {
      return;
    }
    if (registered || !refusedBefore) {
      log.warn("Not registered with router {}: {} Trying again until it answers.", router, why);
      refusedBefore = true;
    }
    registered = false;
    stream = null;
    welcome.complete(null);
    if (!isWanted()) {
      closed = true;
      return;
    }
    long millis = ThreadLocalRandom.current().nextLong(backoff.toMillis() / 2, backoff.toMillis());
    backoff =
        backoff.multipliedBy(2).compareTo(LAST_BACKOFF) < 0
            ? backoff.multipliedBy(2)
            : LAST_BACKOFF;
    timer.schedule(this::connect, millis, TimeUnit.MILLISECONDS);
  }

  /** One connection. */
  private final class Stream implements ClientResponseObserver<RegisterRequest, RegisterResponse> {
    private @Nullable ClientCallStreamObserver<RegisterRequest> requests;
    private @Nullable Future<?> reports;
    private boolean over;

    /** Done when neither side says anything more. */
    private final CompletableFuture<Void> ended = new CompletableFuture<>();

    /** Of the cache's content that the router has. */
    private long toldVersion = -1;

    @Override
    public void beforeStart(ClientCallStreamObserver<RegisterRequest> requestStream) {
      requests = requestStream;
    }

    @Override
    public void onNext(RegisterResponse response) {
      timer.execute(() -> {
        switch (response.getEventCase()) {
          case WELCOME -> welcomed(response.getWelcome().getReportIntervalMs());
          case REPORT_NOW -> report(response.getReportNow().getNonce());
          case EVENT_NOT_SET -> {}
        }
      });
    }

    @Override
    public void onError(Throwable error) {
      end(String.valueOf(GrpcErrors.fromStatus(error).getMessage()));
    }

    @Override
    public void onCompleted() {
      end("the router ended the stream.");
    }

    private void end(String why) {
      ended.complete(null);
      try {
        timer.execute(() -> {
          stop();
          disconnected(this, why);
        });
      } catch (RejectedExecutionException e) {
        log.debug("The node has closed", e);
      }
    }

    private void welcomed(int intervalMillis) {
      if (stream != this) {
        return;
      }
      registered = true;
      welcome.complete(null);
      refusedBefore = false;
      backoff = FIRST_BACKOFF;
      long interval = intervalMillis > 0 ? intervalMillis : REPORT_INTERVAL.toMillis();
      if (reports == null && !over) {
        reports =
            timer.scheduleWithFixedDelay(
                () -> report(0), interval, interval, TimeUnit.MILLISECONDS);
      }
    }

    private void report(long nonce) {
      load.apply(nonce == 0 ? Freshness.RECENT : Freshness.ASKED)
          .thenAcceptAsync(present -> send(present, nonce, nonce == 0), timer);
    }

    private void send(NodeLoad present, long nonce, boolean mayBeLeftOut) {
      NodeLoad.Builder news = present.toBuilder().setNonce(nonce);
      long version = present.getMediaCache().getVersion();
      if (version == toldVersion) {
        news.clearMediaCache();
      }
      if (send(RegisterRequest.newBuilder().setLoad(news).build(), mayBeLeftOut)) {
        toldVersion = version;
      }
    }

    /** False when it was left out, because there is no stream or nobody reads. */
    private boolean send(RegisterRequest message, boolean mayBeLeftOut) {
      ClientCallStreamObserver<RegisterRequest> call = requests;
      if (over || call == null) {
        return false;
      }
      // A router that does not read gets no pile of stale reports.
      if (mayBeLeftOut && !call.isReady()) {
        return false;
      }
      call.onNext(message);
      return true;
    }

    private void leave() {
      if (!over && requests != null) {
        requests.onCompleted();
      }
      stop();
      registered = false;
    }

    private void stop() {
      over = true;
      if (reports != null) {
        reports.cancel(false);
      }
    }
  }
}
