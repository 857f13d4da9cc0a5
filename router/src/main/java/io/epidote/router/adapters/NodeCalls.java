package io.epidote.router.adapters;

import com.google.common.util.concurrent.ListenableFuture;
import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.v1.AdapterAdminGrpc;
import io.epidote.proto.v1.AdapterAdminGrpc.AdapterAdminFutureStub;
import io.epidote.router.cluster.Member;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/** What became of a call to several nodes. */
record NodeCalls<T>(List<Outcome<T>> outcomes) {
  private static final Duration LOADING = Duration.ofMinutes(5);

  /** What became of it at one: a response or an error. */
  record Outcome<T>(Member node, List<T> response, List<EpidoteException> errors) {
    boolean failed() {
      return !errors.isEmpty();
    }

    EpidoteException error() {
      return failed() ? errors.getFirst() : new EpidoteException.Internal("no error");
    }
  }

  /** Calls all nodes at once and waits for all. */
  static <T> NodeCalls<T> all(
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
    return new NodeCalls<>(outcomes);
  }

  List<Outcome<T>> failed() {
    return outcomes.stream().filter(Outcome::failed).toList();
  }

  List<T> responses() {
    return outcomes.stream().flatMap(outcome -> outcome.response().stream()).toList();
  }

  /** Throws the first error, with the name of its node. */
  void orFail() {
    failed().stream()
        .findFirst()
        .ifPresent(outcome -> {
          throw named(outcome);
        });
  }

  static EpidoteException named(Outcome<?> outcome) {
    String message = "Node %s: %s".formatted(outcome.node().id(), outcome.error().getMessage());
    return switch (outcome.error()) {
      case EpidoteException.InvalidRequest e -> new EpidoteException.InvalidRequest(message, e);
      case EpidoteException.NotFound _ -> new EpidoteException.NotFound(message);
      case EpidoteException.BadCheckpoint e -> new EpidoteException.BadCheckpoint(message, e);
      case EpidoteException.Unavailable e -> new EpidoteException.Unavailable(message, e);
      case EpidoteException e -> e;
    };
  }
}
