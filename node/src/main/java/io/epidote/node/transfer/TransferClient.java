package io.epidote.node.transfer;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.ChannelKind;
import io.epidote.node.grpc.ChannelPool;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.ReleaseRequest;
import io.epidote.proto.stage.v1.ReleaseResponse;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.grpc.Channel;
import io.grpc.stub.StreamObserver;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
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
  private final TransferOptions options;
  private final Optional<UnixSockets> unixSockets;
  private final Optional<EmulatedLink> link;

  /**
   * @param channels with bulk channels of a {@link BulkTransport}
   * @param stall how long a pull may go without a byte before it fails
   * @param renewEvery how often leases are renewed that a request waits for; well below the period
   */
  public TransferClient(
      ChannelPool channels,
      ScheduledExecutorService timer,
      Duration stall,
      Duration renewEvery,
      TransferOptions options) {
    this.channels = requireNonNull(channels, "channels is null");
    this.timer = requireNonNull(timer, "timer is null");
    this.stall = requireNonNull(stall, "stall is null");
    this.renewEvery = requireNonNull(renewEvery, "renewEvery is null");
    this.options = requireNonNull(options, "options is null");
    this.unixSockets = options.unixSockets() ? UnixSockets.open() : Optional.empty();
    this.link = options.pace().map(pace -> new EmulatedLink(pace, System.nanoTime()));
  }

  /**
   * Starts to pull. Offsets, length, checksums and completeness are verified, and the handle is
   * released at the end, however it ended.
   *
   * @param destinations filled in order from their positions; together exactly the handle's bytes.
   *     They must not be reused before {@code ended} has run
   * @param form how the bytes travel; each destination must fit it
   * @param ended runs exactly once, on a gRPC or timer thread
   */
  public Pull pull(
      Handle handle, List<ByteBuffer> destinations, WireForm form, Consumer<PullEnd> ended) {
    Consumer<PullEnd> releasing =
        paced(
            form.wireBytes(handle.getBytes()),
            end -> {
              ended.accept(end);
              release(handle);
            });
    List<Channel> routes = new ArrayList<>();
    @Nullable EpidoteException unusable = null;
    try {
      unixSockets
          .flatMap(sockets -> sockets.find(handle))
          .map(BulkTransport::unixAddress)
          .ifPresent(address -> routes.add(channels.channel(address, ChannelKind.BULK)));
      routes.add(channels.channel(bulkAddress(handle), ChannelKind.BULK));
    } catch (EpidoteException e) {
      unusable = e;
    } catch (IllegalStateException e) {
      unusable = new EpidoteException.Unavailable("This node is closing.", e);
    }
    Pull pull = new Pull(handle, destinations, form, options, routes, stall, timer, releasing);
    if (unusable == null) {
      pull.start();
    } else {
      ended.accept(new PullEnd.Failed(unusable));
    }
    return pull;
  }

  /** Lets bytes that are here arrive when an emulated link would have brought them. */
  private Consumer<PullEnd> paced(long bytes, Consumer<PullEnd> ended) {
    if (link.isEmpty()) {
      return ended;
    }
    long asked = System.nanoTime();
    long due = link.get().ask(bytes, asked);
    return end -> {
      long left = due - System.nanoTime();
      if (left <= 0 || !(end instanceof PullEnd.Pulled whole)) {
        ended.accept(end);
        return;
      }
      try {
        var _ =
            timer.schedule(
                () ->
                    ended.accept(
                        new PullEnd.Pulled(
                            whole.bytes(), whole.moved(), System.nanoTime() - asked)),
                left,
                TimeUnit.NANOSECONDS);
      } catch (RejectedExecutionException e) {
        // The node is closing.
        ended.accept(end);
      }
    };
  }

  private static String bulkAddress(Handle handle) {
    String address = handle.getAddress();
    return handle.getBulkPort() == 0
        ? address
        : address.substring(0, address.lastIndexOf(':') + 1)
            + Integer.toUnsignedLong(handle.getBulkPort());
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
