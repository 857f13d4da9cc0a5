package io.epidote.node.registry;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.node.grpc.ChannelPool;
import io.epidote.node.grpc.GrpcTransport;
import io.epidote.proto.stage.v1.MediaCacheContent;
import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.stage.v1.RegisterRequest;
import io.epidote.proto.stage.v1.RegisterResponse;
import io.epidote.proto.stage.v1.RegistryServiceGrpc;
import io.epidote.proto.stage.v1.ReportNow;
import io.epidote.proto.stage.v1.Welcome;
import io.epidote.proto.v1.NodeStatus;
import io.grpc.Server;
import io.grpc.stub.StreamObserver;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
final class RegistrationClientTest {
  /** A router that welcomes everybody. */
  private static final class Router extends RegistryServiceGrpc.RegistryServiceImplBase {
    final List<RegisterRequest> received = new CopyOnWriteArrayList<>();
    final List<StreamObserver<RegisterResponse>> streams = new CopyOnWriteArrayList<>();
    final AtomicInteger completed = new AtomicInteger();
    final Server server;

    Router(int port) {
      InetSocketAddress address = new InetSocketAddress("127.0.0.1", port);
      server = GrpcTransport.start(GrpcTransport.server(address).addService(this), address);
    }

    @Override
    public StreamObserver<RegisterRequest> register(StreamObserver<RegisterResponse> responses) {
      streams.add(responses);
      return new StreamObserver<>() {
        @Override
        public void onNext(RegisterRequest request) {
          received.add(request);
          if (request.hasHello()) {
            responses.onNext(
                RegisterResponse.newBuilder()
                    .setWelcome(Welcome.newBuilder().setReportIntervalMs(20))
                    .build());
          }
        }

        @Override
        public void onError(Throwable error) {}

        @Override
        public void onCompleted() {
          completed.incrementAndGet();
          responses.onCompleted();
        }
      };
    }

    long hellos() {
      return received.stream().filter(RegisterRequest::hasHello).count();
    }

    long loads() {
      return received.stream().filter(RegisterRequest::hasLoad).count();
    }

    /** Versions of the media cache that it was told. */
    List<Long> contents() {
      return received.stream()
          .filter(request -> request.getLoad().hasMediaCache())
          .map(request -> request.getLoad().getMediaCache().getVersion())
          .toList();
    }

    void stop() {
      server.shutdownNow();
    }
  }

  private final ChannelPool channels = new ChannelPool();
  private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
  private final AtomicInteger asked = new AtomicInteger();
  private volatile long version = 1;

  @AfterEach
  void close() {
    channels.close();
    timer.shutdownNow();
  }

  private RegistrationClient client(int port) {
    return new RegistrationClient(
        "127.0.0.1:" + port,
        channels,
        timer,
        NodeHello.newBuilder().setModel("toy").build(),
        freshness ->
            CompletableFuture.completedFuture(
                NodeLoad.newBuilder()
                    .setStatus(
                        NodeStatus.newBuilder()
                            .setNodeId("node")
                            .setRunning(asked.incrementAndGet()))
                    .setMediaCache(MediaCacheContent.newBuilder().setVersion(version).addTiles(7))
                    .build()));
  }

  @Test
  void tellsWhatTheMediaCacheHoldsWhenItHasChanged() {
    Router router = new Router(0);
    RegistrationClient client = client(router.server.getPort());
    client.start();
    await().until(() -> router.loads() >= 3);
    assertThat(router.contents()).containsExactly(1L);
    version = 2;
    await().until(() -> router.contents().size() > 1);
    assertThat(router.contents()).containsExactly(1L, 2L);
    client.close();
    router.stop();
  }

  @Test
  void saysHelloReportsRegularlyAndWhenAsked() {
    Router router = new Router(0);
    RegistrationClient client = client(router.server.getPort());
    client.start();
    await().until(() -> router.loads() >= 3);
    assertThat(client.isRegistered()).isTrue();
    assertThat(router.received.getFirst().getHello().getStatus().getNodeId()).isEqualTo("node");
    assertThat(router.hellos()).isEqualTo(1);
    router
        .streams
        .getFirst()
        .onNext(
            RegisterResponse.newBuilder()
                .setReportNow(ReportNow.newBuilder().setNonce(4711))
                .build());
    await()
        .until(() -> router.received.stream().anyMatch(load -> load.getLoad().getNonce() == 4711));
    client.close();
    await().until(() -> router.completed.get() == 1);
    assertThat(client.isRegistered()).isFalse();
    router.stop();
  }

  @Test
  void comesBackWhenTheRouterDoes() {
    Router first = new Router(0);
    int port = first.server.getPort();
    RegistrationClient client = client(port);
    client.start();
    await().until(client::isRegistered);
    first.stop();
    await().until(() -> !client.isRegistered());
    await().until(first.server::isTerminated);
    Router second = new Router(port);
    await().until(() -> client.isRegistered() && second.loads() > 0);
    assertThat(second.hellos()).isEqualTo(1);
    client.close();
    second.stop();
  }

  @Test
  void registersWithARouterThatStartsLater() {
    Router probe = new Router(0);
    int port = probe.server.getPort();
    probe.stop();
    await().until(probe.server::isTerminated);
    RegistrationClient client = client(port);
    client.start();
    await().until(() -> asked.get() >= 3);
    Router router = new Router(port);
    await().until(client::isRegistered);
    client.close();
    router.stop();
  }

  @Test
  void keepsARouterThatIsNotWantedUntilItsStreamEnds() {
    Router first = new Router(0);
    int port = first.server.getPort();
    RegistrationClient client = client(port);
    client.start();
    await().until(client::isRegistered);
    assertThat(client.want(false)).isTrue();
    long before = first.loads();
    await().until(() -> first.loads() > before);
    assertThat(client.isRegistered()).isTrue();
    first.stop();
    await().until(() -> !client.isRegistered());
    await().until(() -> !client.want(true));
    await().until(first.server::isTerminated);
    Router second = new Router(port);
    int asks = asked.get();
    await().during(Duration.ofMillis(500)).until(() -> second.hellos() == 0);
    assertThat(asked.get()).isEqualTo(asks);
    second.stop();
  }
}
