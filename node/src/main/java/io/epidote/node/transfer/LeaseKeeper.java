package io.epidote.node.transfer;

import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.RenewRequest;
import io.epidote.proto.stage.v1.RenewResponse;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Collectors;

/** Renews the leases that a waiting request depends on, until closed. Thread-safe. */
public final class LeaseKeeper implements AutoCloseable {
  /** A node that does not answer this often in a row is taken for lost. */
  private static final int MAX_FAILURES = 3;

  private final List<Handle> handles = new CopyOnWriteArrayList<>();
  private final Function<String, TransferServiceGrpc.TransferServiceStub> peers;
  private final Consumer<String> lost;
  private final AtomicBoolean done = new AtomicBoolean();
  private final AtomicInteger failures = new AtomicInteger();
  private final Future<?> ticks;

  LeaseKeeper(
      Function<String, TransferServiceGrpc.TransferServiceStub> peers,
      ScheduledExecutorService timer,
      Duration every,
      Consumer<String> lost) {
    this.peers = peers;
    this.lost = lost;
    this.ticks =
        timer.scheduleWithFixedDelay(
            this::renew, every.toNanos(), every.toNanos(), TimeUnit.NANOSECONDS);
  }

  /** From now on this lease is renewed, too. */
  public void add(Handle handle) {
    handles.add(handle);
  }

  /** This lease is not waited for any more: nobody is told when it ends. */
  public void remove(Handle handle) {
    handles.remove(handle);
  }

  private void renew() {
    try {
      handles.stream()
          .collect(Collectors.groupingBy(Handle::getAddress))
          .forEach((address, group) ->
              peers
                  .apply(address)
                  .renew(RenewRequest.newBuilder().addAllHandles(group).build(), new Answer()));
    } catch (RuntimeException e) {
      lose("Leases cannot be renewed: " + e.getMessage());
    }
  }

  @Override
  public void close() {
    done.set(true);
    ticks.cancel(false);
  }

  private void lose(String why) {
    if (done.compareAndSet(false, true)) {
      ticks.cancel(false);
      lost.accept(why);
    }
  }

  private final class Answer implements StreamObserver<RenewResponse> {
    @Override
    public void onNext(RenewResponse response) {
      failures.set(0);
      // One that was removed in the meantime has been pulled.
      response.getLostList().stream()
          .filter(handles::contains)
          .findFirst()
          .ifPresent(handle ->
              lose(
                  "Handle %d of node %s ended while its bytes were waited for; run the stage that made it again."
                      .formatted(handle.getId(), handle.getNodeId())));
    }

    @Override
    public void onError(Throwable error) {
      if (failures.incrementAndGet() >= MAX_FAILURES) {
        lose(
            "The node that holds bytes this request waits for does not answer: "
                + GrpcErrors.fromStatus(error).getMessage());
      }
    }

    @Override
    public void onCompleted() {}
  }
}
