package io.epidote.router.rpc;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.v1.AdapterAdminGrpc;
import io.epidote.proto.v1.ListAdaptersRequest;
import io.epidote.proto.v1.ListAdaptersResponse;
import io.epidote.proto.v1.LoadAdapterRequest;
import io.epidote.proto.v1.LoadAdapterResponse;
import io.epidote.proto.v1.SettleAdapterRequest;
import io.epidote.proto.v1.SettleAdapterResponse;
import io.epidote.proto.v1.UnloadAdapterRequest;
import io.epidote.proto.v1.UnloadAdapterResponse;
import io.epidote.router.adapters.ClusterAdapters;
import io.grpc.stub.StreamObserver;
import java.util.function.Supplier;

/**
 * Adapters of the whole cluster, over gRPC. Its calls run on virtual threads, so they may block.
 * Thread-safe.
 */
public final class AdapterAdminEndpoint extends AdapterAdminGrpc.AdapterAdminImplBase {
  private final ClusterAdapters adapters;

  public AdapterAdminEndpoint(ClusterAdapters adapters) {
    this.adapters = adapters;
  }

  @Override
  public void loadAdapter(
      LoadAdapterRequest request, StreamObserver<LoadAdapterResponse> response) {
    answer(response, () -> adapters.load(request));
  }

  @Override
  public void unloadAdapter(
      UnloadAdapterRequest request, StreamObserver<UnloadAdapterResponse> response) {
    answer(
        response,
        () -> {
          adapters.unload(request.getName());
          return UnloadAdapterResponse.getDefaultInstance();
        });
  }

  @Override
  public void settleAdapter(
      SettleAdapterRequest request, StreamObserver<SettleAdapterResponse> response) {
    answer(
        response,
        () -> {
          throw new EpidoteException.InvalidRequest(
              "A router settles its loads itself; SettleAdapter is for nodes.");
        });
  }

  @Override
  public void listAdapters(
      ListAdaptersRequest request, StreamObserver<ListAdaptersResponse> response) {
    answer(response, () -> ListAdaptersResponse.newBuilder().addAllNodes(adapters.list()).build());
  }

  private static <T> void answer(StreamObserver<T> observer, Supplier<T> response) {
    T answer;
    try {
      answer = response.get();
    } catch (RuntimeException e) {
      observer.onError(GrpcErrors.toStatus(e));
      return;
    }
    observer.onNext(answer);
    observer.onCompleted();
  }
}
