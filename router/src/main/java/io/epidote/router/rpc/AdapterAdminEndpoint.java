package io.epidote.router.rpc;

import com.google.common.util.concurrent.ListenableFuture;
import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.v1.AdapterAdminGrpc;
import io.epidote.proto.v1.AdapterAdminGrpc.AdapterAdminFutureStub;
import io.epidote.proto.v1.ListAdaptersRequest;
import io.epidote.proto.v1.ListAdaptersResponse;
import io.epidote.proto.v1.LoadAdapterRequest;
import io.epidote.proto.v1.LoadAdapterResponse;
import io.epidote.proto.v1.NodeAdapters;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.UnloadAdapterRequest;
import io.epidote.proto.v1.UnloadAdapterResponse;
import io.epidote.router.cluster.Cluster;
import io.epidote.router.cluster.Member;
import io.epidote.router.cluster.RegistryEndpoint;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * Adapters of the whole cluster: passes calls on to every node that prefills or decodes. A load is
 * checked everywhere before anybody serves it. Its calls run on virtual threads, so they may block.
 * Thread-safe.
 */
public final class AdapterAdminEndpoint extends AdapterAdminGrpc.AdapterAdminImplBase {
  private static final Duration LOADING = Duration.ofMinutes(5);
  private static final Duration FRESH = Duration.ofSeconds(2);

  private final Cluster cluster;
  private final RegistryEndpoint registry;

  /** One change at a time, or two of one name would each win on some nodes. */
  private final ReentrantLock changing = new ReentrantLock();

  public AdapterAdminEndpoint(Cluster cluster, RegistryEndpoint registry) {
    this.cluster = cluster;
    this.registry = registry;
  }

  @Override
  public void loadAdapter(
      LoadAdapterRequest request, StreamObserver<LoadAdapterResponse> response) {
    answer(response, () -> changed(() -> load(request)));
  }

  private LoadAdapterResponse load(LoadAdapterRequest request) {
    List<Member> nodes = nodes();
    List<Outcome<LoadAdapterResponse>> checked =
        all(nodes, stub -> stub.loadAdapter(request.toBuilder().setCheckOnly(true).build()));
    failFirst(checked);
    sameDigest(checked);
    if (request.getCheckOnly()) {
      return merged(checked);
    }
    List<Outcome<LoadAdapterResponse>> loaded = all(nodes, stub -> stub.loadAdapter(request));
    if (!request.getReplace() && loaded.stream().anyMatch(Outcome::failed)) {
      List<Member> have =
          loaded.stream().filter(outcome -> !outcome.failed()).map(Outcome::node).toList();
      all(have, stub -> stub.unloadAdapter(unloading(request.getName())));
    }
    failFirst(loaded);
    return merged(loaded);
  }

  @Override
  public void unloadAdapter(
      UnloadAdapterRequest request, StreamObserver<UnloadAdapterResponse> response) {
    answer(
        response,
        () ->
            changed(() -> {
              List<Outcome<UnloadAdapterResponse>> outcomes =
                  all(nodes(), stub -> stub.unloadAdapter(unloading(request.getName())));
              // Nodes that never had it are as they should be.
              List<Outcome<UnloadAdapterResponse>> missing =
                  outcomes.stream()
                      .filter(outcome -> outcome.error() instanceof EpidoteException.NotFound)
                      .toList();
              if (missing.size() == outcomes.size()) {
                failFirst(outcomes);
              }
              failFirst(outcomes.stream().filter(o -> !missing.contains(o)).toList());
              return UnloadAdapterResponse.getDefaultInstance();
            }));
  }

  @Override
  public void listAdapters(
      ListAdaptersRequest request, StreamObserver<ListAdaptersResponse> response) {
    answer(
        response,
        () -> {
          ListAdaptersResponse.Builder all = ListAdaptersResponse.newBuilder();
          for (NodeStatus status : registry.freshLoad(FRESH)) {
            if (runsDecoder(status.getStagesList())) {
              all.addNodes(
                  NodeAdapters.newBuilder()
                      .setNodeId(status.getNodeId())
                      .addAllAdapters(status.getAdaptersList()));
            }
          }
          return all.build();
        });
  }

  private static UnloadAdapterRequest unloading(String name) {
    return UnloadAdapterRequest.newBuilder().setName(name).build();
  }

  /** Makes a change, and lets requests know of it before its caller does. */
  private <T> T changed(Supplier<T> change) {
    changing.lock();
    try {
      return change.get();
    } finally {
      registry.freshLoad(FRESH);
      changing.unlock();
    }
  }

  private static boolean runsDecoder(Iterable<Stage> stages) {
    for (Stage stage : stages) {
      if (stage == Stage.STAGE_PREFILL || stage == Stage.STAGE_DECODE) {
        return true;
      }
    }
    return false;
  }

  private List<Member> nodes() {
    List<Member> nodes =
        cluster.members().stream().filter(member -> runsDecoder(member.stages())).toList();
    if (nodes.isEmpty()) {
      throw new EpidoteException.Unavailable(
          Cluster.missingMessage(List.of(Stage.STAGE_PREFILL, Stage.STAGE_DECODE)));
    }
    return nodes;
  }

  /** What became of a call to a node: a response or an error. */
  private record Outcome<T>(Member node, List<T> response, List<EpidoteException> errors) {
    boolean failed() {
      return !errors.isEmpty();
    }

    EpidoteException error() {
      return failed() ? errors.getFirst() : new EpidoteException.Internal("no error");
    }
  }

  /** Calls all nodes at once and waits for all. */
  private static <T> List<Outcome<T>> all(
      List<Member> nodes, Function<AdapterAdminFutureStub, ListenableFuture<T>> call) {
    List<ListenableFuture<T>> calls = new ArrayList<>();
    for (Member node : nodes) {
      calls.add(
          call.apply(
              AdapterAdminGrpc.newFutureStub(node.channel())
                  .withDeadlineAfter(LOADING.toSeconds(), TimeUnit.SECONDS)));
    }
    List<Outcome<T>> outcomes = new ArrayList<>();
    for (int i = 0; i < calls.size(); i++) {
      Member node = nodes.get(i);
      try {
        outcomes.add(new Outcome<>(node, List.of(calls.get(i).get()), List.of()));
      } catch (ExecutionException e) {
        outcomes.add(new Outcome<>(node, List.of(), List.of(GrpcErrors.fromStatus(e))));
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new EpidoteException.Unavailable("The router is shutting down.", e);
      }
    }
    return outcomes;
  }

  private static <T> void failFirst(List<Outcome<T>> outcomes) {
    for (Outcome<T> outcome : outcomes) {
      if (outcome.failed()) {
        String message = "Node %s: %s".formatted(outcome.node().id(), outcome.error().getMessage());
        throw switch (outcome.error()) {
          case EpidoteException.InvalidRequest e -> new EpidoteException.InvalidRequest(message, e);
          case EpidoteException.NotFound _ -> new EpidoteException.NotFound(message);
          case EpidoteException.BadCheckpoint e -> new EpidoteException.BadCheckpoint(message, e);
          case EpidoteException.Unavailable e -> new EpidoteException.Unavailable(message, e);
          case EpidoteException e -> e;
        };
      }
    }
  }

  /** The same name must mean the same weights everywhere. */
  private static void sameDigest(List<Outcome<LoadAdapterResponse>> outcomes) {
    String first = "";
    for (Outcome<LoadAdapterResponse> outcome : outcomes) {
      String digest = outcome.response().getFirst().getNodes(0).getAdapters(0).getDigest();
      if (!first.isEmpty() && !digest.equals(first)) {
        throw new EpidoteException.InvalidRequest(
            "Node %s has another adapter in that folder than node %s; copy the same folder to all nodes."
                .formatted(outcome.node().id(), outcomes.getFirst().node().id()));
      }
      first = digest;
    }
  }

  private static LoadAdapterResponse merged(List<Outcome<LoadAdapterResponse>> outcomes) {
    LoadAdapterResponse.Builder all = LoadAdapterResponse.newBuilder();
    outcomes.forEach(outcome -> all.addAllNodes(outcome.response().getFirst().getNodesList()));
    return all.build();
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
