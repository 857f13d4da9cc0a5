package io.epidote.node.grpc;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.grpc.Server;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.netty.handler.ssl.SslContext;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * The settings that all servers and channels of a cluster share. Netty's epoll transport is taken
 * by gRPC itself where it can be loaded.
 *
 * <p>Keepalive finds a peer that went silent: a call to it fails within {@link #KEEPALIVE_TIME} and
 * {@link #KEEPALIVE_TIMEOUT} together, in both directions.
 */
public final class GrpcTransport {
  /** 64 MiB of media in one request, and what surrounds them. */
  public static final int MAX_MESSAGE_BYTES = (64 << 20) + (1 << 20);

  public static final Duration KEEPALIVE_TIME = Duration.ofSeconds(10);
  public static final Duration KEEPALIVE_TIMEOUT = Duration.ofSeconds(5);

  /** Must stay below every client's {@link #KEEPALIVE_TIME}, or the server hangs up on them. */
  static final Duration PERMITTED_KEEPALIVE = Duration.ofSeconds(5);

  static final Duration HANDSHAKE_TIMEOUT = Duration.ofSeconds(10);

  /**
   * Calls that a client may begin and reset in ten seconds; a flood of them costs a server more.
   */
  private static final int MAX_RESETS = 5000;

  /** A connection without calls closes after this. */
  public static final Duration IDLE_TIMEOUT = Duration.ofMinutes(5);

  private GrpcTransport() {}

  /** A server that listens at {@code address}; port 0 picks a free one. */
  public static NettyServerBuilder server(InetSocketAddress address) {
    return configure(NettyServerBuilder.forAddress(address));
  }

  /** The settings of every server, wherever it listens. */
  public static NettyServerBuilder configure(NettyServerBuilder builder) {
    return builder
        .maxInboundMessageSize(MAX_MESSAGE_BYTES)
        // flowControlWindow would switch off the tuning to the measured bandwidth.
        .initialFlowControlWindow(ChannelKind.CONTROL.initialWindow())
        .keepAliveTime(KEEPALIVE_TIME.toMillis(), TimeUnit.MILLISECONDS)
        .keepAliveTimeout(KEEPALIVE_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS)
        .permitKeepAliveTime(PERMITTED_KEEPALIVE.toMillis(), TimeUnit.MILLISECONDS)
        .permitKeepAliveWithoutCalls(true)
        // Whoever connects and says nothing has a place for that long.
        .handshakeTimeout(HANDSHAKE_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS)
        .maxRstFramesPerWindow(MAX_RESETS, 10);
  }

  /**
   * Starts a server.
   *
   * @param address where the server listens, for the message
   * @throws EpidoteException.Unavailable when it cannot listen there; names the port and the flag
   */
  public static Server start(NettyServerBuilder builder, InetSocketAddress address) {
    try {
      return builder.build().start();
    } catch (IOException e) {
      Throwable root = e;
      while (root.getCause() != null) {
        root = root.getCause();
      }
      throw new EpidoteException.Unavailable(
          "Cannot listen on %s port %d: %s. Stop the process that has the port, or choose another with --port (0 picks a free one)."
              .formatted(address.getHostString(), address.getPort(), root.getMessage()),
          e);
    }
  }

  /**
   * A plaintext channel to one peer.
   *
   * @throws EpidoteException.InvalidRequest when the address is not {@code host:port}
   */
  public static NettyChannelBuilder channel(String address, ChannelKind kind) {
    return channel(address, kind, Optional.empty());
  }

  /**
   * A channel to one peer.
   *
   * @param address {@code host:port}, an IPv6 host in brackets
   * @param tls empty for plaintext
   * @throws EpidoteException.InvalidRequest when the address is not of that form
   */
  public static NettyChannelBuilder channel(
      String address, ChannelKind kind, Optional<SslContext> tls) {
    NettyChannelBuilder builder = configure(forAddress(address), kind);
    return tls.map(builder::sslContext).orElseGet(builder::usePlaintext);
  }

  /**
   * A channel without settings.
   *
   * @throws EpidoteException.InvalidRequest when the address is not {@code host:port}
   */
  public static NettyChannelBuilder forAddress(String address) {
    InetSocketAddress peer = parse(address);
    return NettyChannelBuilder.forAddress(peer.getHostString(), peer.getPort());
  }

  /** The settings of every channel, whatever it connects to; says nothing of TLS. */
  public static NettyChannelBuilder configure(NettyChannelBuilder builder, ChannelKind kind) {
    return builder
        // The process decides what to repeat; only it knows whether the first token has left.
        .disableRetry()
        .maxInboundMessageSize(MAX_MESSAGE_BYTES)
        .initialFlowControlWindow(kind.initialWindow())
        .keepAliveTime(KEEPALIVE_TIME.toMillis(), TimeUnit.MILLISECONDS)
        .keepAliveTimeout(KEEPALIVE_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS)
        .idleTimeout(IDLE_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
  }

  /**
   * Reads {@code host:port} without resolving the host.
   *
   * @throws EpidoteException.InvalidRequest when it is something else
   */
  public static InetSocketAddress parse(String address) {
    requireNonNull(address, "address is null");
    int colon = address.lastIndexOf(':');
    String host = colon < 0 ? "" : address.substring(0, colon);
    if (host.startsWith("[") && host.endsWith("]")) {
      host = host.substring(1, host.length() - 1);
    }
    try {
      int port = Integer.parseInt(address.substring(colon + 1));
      if (!host.isEmpty() && port >= 0 && port <= 65535) {
        return InetSocketAddress.createUnresolved(host, port);
      }
    } catch (NumberFormatException e) {
      // Told below, together with the other ways to be wrong.
    }
    throw new EpidoteException.InvalidRequest(
        "\"%s\" is not an address: expected host:port, for example 127.0.0.1:7070."
            .formatted(address));
  }
}
