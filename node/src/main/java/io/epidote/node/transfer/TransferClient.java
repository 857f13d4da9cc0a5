package io.epidote.node.transfer;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.ChannelKind;
import io.epidote.node.grpc.ChannelPool;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.ReleaseRequest;
import io.epidote.proto.stage.v1.ReleaseResponse;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.grpc.stub.StreamObserver;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Pulls the bytes behind other nodes' handles. Thread-safe. */
public final class TransferClient {
  private static final Logger log = LoggerFactory.getLogger(TransferClient.class);
  private static final long CALL_SECONDS = 5;

  private final ChannelPool channels;
  private final ScheduledExecutorService timer;
  private final Duration stall;
  private final Duration renewEvery;

  /**
   * @param stall how long a pull may go without a byte before it fails
   * @param renewEvery how often leases are renewed that a request waits for; well below the period
   */
  public TransferClient(
      ChannelPool channels, ScheduledExecutorService timer, Duration stall, Duration renewEvery) {
    this.channels = requireNonNull(channels, "channels is null");
    this.timer = requireNonNull(timer, "timer is null");
    this.stall = requireNonNull(stall, "stall is null");
    this.renewEvery = requireNonNull(renewEvery, "renewEvery is null");
  }

  /**
   * Starts to pull. Offsets, length, checksums and completeness are verified, and the handle is
   * released at the end, however it ended.
   *
   * @param destinations filled in order from their positions; together exactly the handle's bytes.
   *     They must not be reused before {@code ended} has run
   * @param ended runs exactly once, on a gRPC or timer thread
   */
  public Pull pull(Handle handle, List<ByteBuffer> destinations, Consumer<PullEnd> ended) {
    Pull pull =
        new Pull(
            handle,
            destinations,
            stall,
            timer,
            end -> {
              ended.accept(end);
              release(handle);
            });
    TransferServiceGrpc.TransferServiceStub peer;
    try {
      peer = TransferServiceGrpc.newStub(channels.channel(handle.getAddress(), ChannelKind.BULK));
    } catch (EpidoteException e) {
      ended.accept(new PullEnd.Failed(e));
      return pull;
    } catch (IllegalStateException e) {
      ended.accept(
          new PullEnd.Failed(new EpidoteException.Unavailable("This node is closing.", e)));
      return pull;
    }
    pull.start(peer);
    return pull;
  }

  /** Tells the producer that a handle is not needed any more; does not wait. */
  public void release(Handle handle) {
    try {
      control(handle.getAddress())
          .release(
              ReleaseRequest.newBuilder().addHandles(handle).build(),
              new StreamObserver<ReleaseResponse>() {
                @Override
                public void onNext(ReleaseResponse response) {}

                @Override
                public void onError(Throwable error) {
                  // The lease ends by itself; the producer may be gone altogether.
                  log.debug("Handle {} could not be released", handle.getId(), error);
                }

                @Override
                public void onCompleted() {}
              });
    } catch (EpidoteException | IllegalStateException e) {
      log.debug("Handle {} cannot be released", handle.getId(), e);
    }
  }

  /**
   * Renews the leases that are added to it until closed, for a request that waits before it pulls.
   *
   * @param lost runs at most once, on a gRPC thread, when a lease is gone or its node does not
   *     answer; gets what to tell the caller
   */
  public LeaseKeeper keep(Consumer<String> lost) {
    return new LeaseKeeper(this::control, timer, renewEvery, lost);
  }

  private TransferServiceGrpc.TransferServiceStub control(String address) {
    return TransferServiceGrpc.newStub(channels.channel(address, ChannelKind.CONTROL))
        .withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS);
  }
}
