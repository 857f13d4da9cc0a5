package io.epidote.node;

import io.epidote.engine.model.Adapters;
import io.epidote.engine.model.LoadedAdapter;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.v1.AdapterAdminGrpc;
import io.epidote.proto.v1.AdapterStatus;
import io.epidote.proto.v1.ListAdaptersRequest;
import io.epidote.proto.v1.ListAdaptersResponse;
import io.epidote.proto.v1.LoadAdapterRequest;
import io.epidote.proto.v1.LoadAdapterResponse;
import io.epidote.proto.v1.NodeAdapters;
import io.epidote.proto.v1.SettleAdapterRequest;
import io.epidote.proto.v1.SettleAdapterResponse;
import io.epidote.proto.v1.UnloadAdapterRequest;
import io.epidote.proto.v1.UnloadAdapterResponse;
import io.grpc.stub.StreamObserver;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Supplier;

/** A node's own adapters: loads run on threads of their own, beside the engine thread. */
final class AdapterEndpoint extends AdapterAdminGrpc.AdapterAdminImplBase {
  private final String nodeId;
  private final Adapters adapters;
  private final AdapterRoots roots;
  private final AdapterFolders folders;
  private final Gate gate;

  /**
   * @param roots of folders that may be loaded
   * @param folders told of what is loaded
   * @param gate of the role that the adapters belong to
   */
  AdapterEndpoint(
      String nodeId, Adapters adapters, AdapterRoots roots, AdapterFolders folders, Gate gate) {
    this.nodeId = nodeId;
    this.adapters = adapters;
    this.roots = roots;
    this.folders = folders;
    this.gate = gate;
  }

  /** For a node's status. */
  static List<AdapterStatus> describe(Adapters adapters) {
    return adapters.list().stream().map(adapter -> describe(adapters, adapter)).toList();
  }

  private static AdapterStatus describe(Adapters adapters, LoadedAdapter adapter) {
    return AdapterStatus.newBuilder()
        .setName(adapter.name())
        .setDigest(adapter.digest())
        .setGeneration(adapter.generation())
        .setKind(adapter.kind())
        .setBytes(adapter.bytes())
        .setRequests(adapters.users(adapter))
        .setTier(adapters.tiers().tier(adapter.entry()).word())
        .build();
  }

  @Override
  public void loadAdapter(
      LoadAdapterRequest request, StreamObserver<LoadAdapterResponse> response) {
    Thread.startVirtualThread(() ->
        answer(
            response,
            () ->
                LoadAdapterResponse.newBuilder()
                    .addNodes(
                        NodeAdapters.newBuilder().setNodeId(nodeId).addAdapters(load(request)))
                    .build()));
  }

  private AdapterStatus load(LoadAdapterRequest request) {
    gate.check();
    Path folder = roots.resolve(request.getFolder());
    if (request.getCheckOnly()) {
      String digest = adapters.check(request.getName(), folder, request.getReplace());
      return AdapterStatus.newBuilder().setName(request.getName()).setDigest(digest).build();
    }
    LoadedAdapter loaded =
        adapters.load(request.getName(), folder, request.getReplace(), request.getHold());
    folders.loaded(request.getName(), folder, request.getHold());
    return describe(adapters, loaded);
  }

  @Override
  public void settleAdapter(
      SettleAdapterRequest request, StreamObserver<SettleAdapterResponse> response) {
    answer(
        response,
        () -> {
          adapters.settle(request.getName(), request.getDigest(), request.getKeep());
          folders.settled(request.getName(), request.getKeep());
          return SettleAdapterResponse.getDefaultInstance();
        });
  }

  @Override
  public void unloadAdapter(
      UnloadAdapterRequest request, StreamObserver<UnloadAdapterResponse> response) {
    answer(
        response,
        () -> {
          adapters.unload(request.getName());
          folders.unloaded(request.getName());
          return UnloadAdapterResponse.getDefaultInstance();
        });
  }

  @Override
  public void listAdapters(
      ListAdaptersRequest request, StreamObserver<ListAdaptersResponse> response) {
    answer(
        response,
        () ->
            ListAdaptersResponse.newBuilder()
                .addNodes(
                    NodeAdapters.newBuilder().setNodeId(nodeId).addAllAdapters(describe(adapters)))
                .build());
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
