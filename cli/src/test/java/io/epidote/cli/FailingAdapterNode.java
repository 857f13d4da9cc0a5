package io.epidote.cli;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.model.Adapters;
import io.epidote.engine.model.LoadedAdapter;
import io.epidote.node.BuildInfo;
import io.epidote.node.grpc.ChannelPool;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.node.registry.RegistrationClient;
import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.v1.AdapterAdminGrpc;
import io.epidote.proto.v1.AdapterStatus;
import io.epidote.proto.v1.LoadAdapterRequest;
import io.epidote.proto.v1.LoadAdapterResponse;
import io.epidote.proto.v1.NodeAdapters;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.SettleAdapterRequest;
import io.epidote.proto.v1.SettleAdapterResponse;
import io.epidote.proto.v1.Stage;
import io.grpc.Server;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;

/** A decode node that checks adapters as any other, and cannot load them when it comes to it. */
final class FailingAdapterNode implements AutoCloseable {
  /** When it fails. */
  enum Failure {
    NEVER,
    BEFORE_IT_HAS_LOADED,
    /** The router does not learn that it has. */
    AFTER_IT_HAS_LOADED
  }

  volatile Failure failure = Failure.NEVER;
  final Adapters adapters = Adapters.withoutWeights();
  private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
  private final ChannelPool channels = new ChannelPool();
  private final Server server;
  private final RegistrationClient registration;

  FailingAdapterNode(String router, Path model) {
    try (Checkpoint checkpoint = Checkpoint.open(model, Home.cache())) {
      server =
          NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
              .addService(new Admin())
              .build()
              .start();
      registration =
          new RegistrationClient(
              router,
              channels,
              timer,
              NodeHello.newBuilder()
                  .setModel(checkpoint.name())
                  .setFingerprint(checkpoint.fingerprint())
                  .setVersion(BuildInfo.VERSION)
                  .build(),
              freshness ->
                  CompletableFuture.completedFuture(
                      NodeLoad.newBuilder().setStatus(status()).build()));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    registration.start();
  }

  private NodeStatus status() {
    NodeStatus.Builder status =
        NodeStatus.newBuilder()
            .setNodeId("failing")
            .setAddress("127.0.0.1:" + server.getPort())
            .addStages(Stage.STAGE_DECODE);
    adapters.list().forEach(adapter -> status.addAdapters(describe(adapter)));
    return status.build();
  }

  private static AdapterStatus describe(LoadedAdapter adapter) {
    return AdapterStatus.newBuilder().setName(adapter.name()).setDigest(adapter.digest()).build();
  }

  boolean isRegistered() {
    return registration.isRegistered();
  }

  private final class Admin extends AdapterAdminGrpc.AdapterAdminImplBase {
    @Override
    public void loadAdapter(
        LoadAdapterRequest request, StreamObserver<LoadAdapterResponse> response) {
      AdapterStatus.Builder made = AdapterStatus.newBuilder().setName(request.getName());
      try {
        Path folder = Path.of(request.getFolder());
        if (request.getCheckOnly()) {
          made.setDigest(adapters.check(request.getName(), folder, request.getReplace()));
        } else {
          if (failure == Failure.BEFORE_IT_HAS_LOADED) {
            throw new EpidoteException.Unavailable("It is over.");
          }
          made =
              describe(
                  adapters.load(request.getName(), folder, request.getReplace(), request.getHold()))
                  .toBuilder();
          if (failure == Failure.AFTER_IT_HAS_LOADED) {
            throw new EpidoteException.Unavailable("It is over.");
          }
        }
      } catch (EpidoteException e) {
        response.onError(GrpcErrors.toStatus(e));
        return;
      }
      response.onNext(
          LoadAdapterResponse.newBuilder()
              .addNodes(NodeAdapters.newBuilder().setNodeId("failing").addAdapters(made))
              .build());
      response.onCompleted();
    }

    @Override
    public void settleAdapter(
        SettleAdapterRequest request, StreamObserver<SettleAdapterResponse> response) {
      adapters.settle(request.getName(), request.getDigest(), request.getKeep());
      response.onNext(SettleAdapterResponse.getDefaultInstance());
      response.onCompleted();
    }
  }

  @Override
  public void close() {
    registration.close();
    // Leaves the registry before its connection is cut.
    timer.close();
    channels.close();
    server.shutdownNow();
  }
}
