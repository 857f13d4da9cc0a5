package io.epidote.node.grpc;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.netty.handler.ssl.SslContext;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/**
 * One channel for each address and kind, made when first asked for. Thread-safe. The pool owns its
 * channels: callers never shut one down.
 *
 * <p>A channel to an address that is never used again costs a few kilobytes: its connection closes
 * after {@link GrpcTransport#IDLE_TIMEOUT}.
 */
public final class ChannelPool implements AutoCloseable {
  private record Key(String address, ChannelKind kind) {}

  private final Map<Key, ManagedChannel> channels = new HashMap<>();
  private final Function<String, ManagedChannelBuilder<?>> bulk;
  private final Optional<SslContext> tls;
  private boolean closed;

  /** A pool of a process that moves no bulk data. */
  public ChannelPool() {
    this(address -> GrpcTransport.channel(address, ChannelKind.BULK), Optional.empty());
  }

  /**
   * @param bulk makes a channel for bulk data to an address, of whatever form it understands
   * @param tls of the other channels; empty for plaintext
   */
  public ChannelPool(Function<String, ManagedChannelBuilder<?>> bulk, Optional<SslContext> tls) {
    this.tls = tls;
    this.bulk = requireNonNull(bulk, "bulk is null");
  }

  /**
   * The channel to a peer; connects on first use.
   *
   * @param address {@code host:port}
   * @throws EpidoteException.InvalidRequest when the address is not {@code host:port}
   * @throws IllegalStateException after {@link #close}
   */
  public synchronized ManagedChannel channel(String address, ChannelKind kind) {
    requireNonNull(kind, "kind is null");
    if (closed) {
      throw new IllegalStateException("the channel pool is closed");
    }
    return channels.computeIfAbsent(
        new Key(address, kind),
        key ->
            switch (kind) {
              case CONTROL -> GrpcTransport.channel(address, kind, tls).build();
              case BULK -> bulk.apply(address).build();
            });
  }

  /** Ends every call on every channel, and waits a moment for the connections to close. */
  @Override
  public void close() {
    List<ManagedChannel> ending;
    synchronized (this) {
      closed = true;
      ending = List.copyOf(channels.values());
      channels.clear();
    }
    ending.forEach(ManagedChannel::shutdownNow);
    try {
      for (ManagedChannel channel : ending) {
        channel.awaitTermination(2, TimeUnit.SECONDS);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
