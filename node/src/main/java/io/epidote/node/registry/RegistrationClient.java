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
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps this node registered with one router: says hello, reports load twice a second and when
 * asked, and connects again for ever when the stream is lost. All its state belongs to the timer's
 * single thread.
 */
public final class RegistrationClient implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(RegistrationClient.class);
  private static final Duration REPORT_INTERVAL = Duration.ofMillis(500);
  private static final Duration FIRST_BACKOFF = Duration.ofMillis(100);
  private static final Duration LAST_BACKOFF = Duration.ofSeconds(5);

  private final String router;
  private final ChannelPool channels;
  private final ScheduledExecutorService timer;
  private final NodeHello hello;
  private final Supplier<CompletableFuture<NodeLoad>> load;
  private @Nullable Stream stream;
  private Duration backoff = FIRST_BACKOFF;
  private boolean refusedBefore;
  private boolean closed;
  private volatile boolean registered;

  /**
   * @param router {@code host:port} of its gRPC server
   * @param timer one thread
   * @param hello without a status, which is asked for at each connection
   * @param load the node's present one, taken on the engine thread
   */
  public RegistrationClient(
      String router,
      ChannelPool channels,
      ScheduledExecutorService timer,
      NodeHello hello,
      Supplier<CompletableFuture<NodeLoad>> load) {
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

  /** Leaves the cluster; the router places nothing here from then on. */
  @Override
  public void close() {
    timer.execute(() -> {
      closed = true;
      if (stream != null) {
        stream.leave();
      }
    });
  }

  private void connect() {
    if (closed) {
      return;
    }
    load.get()
        .whenCompleteAsync(
            (present, error) -> {
              if (error == null && !closed) {
                ManagedChannel channel = channels.channel(router, ChannelKind.CONTROL);
                // The channel's own backoff grows to minutes; a router that is back is wanted now.
                channel.resetConnectBackoff();
                stream = new Stream();
                RegistryServiceGrpc.newStub(channel).register(stream);
                stream.send(
                    RegisterRequest.newBuilder()
                        .setHello(hello.toBuilder().setStatus(present.getStatus()))
                        .build());
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
      try {
        timer.execute(() -> {
          stop();
          disconnected(this, why);
        });
      } catch (java.util.concurrent.RejectedExecutionException e) {
        log.debug("The node has closed", e);
      }
    }

    private void welcomed(int intervalMillis) {
      registered = true;
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
      load.get().thenAcceptAsync(present -> send(present, nonce), timer);
    }

    private void send(NodeLoad present, long nonce) {
      NodeLoad.Builder news = present.toBuilder().setNonce(nonce);
      long version = present.getMediaCache().getVersion();
      if (version == toldVersion) {
        news.clearMediaCache();
      }
      if (send(RegisterRequest.newBuilder().setLoad(news).build())) {
        toldVersion = version;
      }
    }

    /** False when it was left out, because there is no stream or nobody reads. */
    private boolean send(RegisterRequest message) {
      ClientCallStreamObserver<RegisterRequest> call = requests;
      if (over || call == null) {
        return false;
      }
      // A router that does not read gets no pile of stale reports.
      boolean periodic = message.hasLoad() && message.getLoad().getNonce() == 0;
      if (periodic && !call.isReady()) {
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
