package io.epidote.router.openai;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.tls.Refusals;
import io.epidote.router.access.HttpLimits;
import io.epidote.router.net.NetworkThreads;
import io.epidote.router.request.ByteBudget;
import io.micrometer.core.instrument.MeterRegistry;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.epoll.EpollChannelOption;
import io.netty.channel.group.ChannelGroup;
import io.netty.channel.group.DefaultChannelGroup;
import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslHandler;
import io.netty.util.concurrent.GlobalEventExecutor;
import java.net.InetSocketAddress;
import java.util.Optional;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** The HTTP listener: accepts connections and gives each its {@link HttpConnection}. */
public final class HttpServer implements AutoCloseable {
  private static final long SWEEP_MILLIS = 500;
  private static final int HANDSHAKE_MILLIS = 10_000;

  /**
   * Bytes that the system takes of an answer beyond what the client has room for; by itself it
   * would take megabytes, and nobody would notice for as long that a client does not read.
   */
  private static final long MOST_UNSENT = 128 << 10;

  private final ChannelGroup connections;
  private final Channel listener;
  private final Future<?> sweeps;

  private HttpServer(ChannelGroup connections, Channel listener, Future<?> sweeps) {
    this.connections = connections;
    this.listener = listener;
    this.sweeps = sweeps;
  }

  /**
   * Listens.
   *
   * @param port 0 picks a free one
   * @param maxBody largest body of a request in bytes
   * @param limits of connections
   * @param tls empty for plaintext
   * @param meters count responses and connections
   * @param threads to read and write on
   * @throws EpidoteException.Unavailable when it cannot listen there
   */
  public static HttpServer start(
      String host,
      int port,
      long maxBody,
      ByteBudget budget,
      HttpLimits limits,
      Optional<SslContext> tls,
      OpenAiApi api,
      MeterRegistry meters,
      NetworkThreads threads) {
    ChannelGroup connections = new DefaultChannelGroup(GlobalEventExecutor.INSTANCE, true);
    Connections counted = new Connections(limits, meters);
    ServerBootstrap bootstrap =
        new ServerBootstrap()
            .group(threads.loops())
            .channel(threads.listener())
            .option(ChannelOption.SO_BACKLOG, 1024)
            .option(ChannelOption.SO_REUSEADDR, true)
            .childOption(ChannelOption.TCP_NODELAY, true)
            .childHandler(
                new Pipeline(
                    connections, counted, maxBody, budget, new ResponseCounter(meters), tls, api));
    if (threads.isEpoll()) {
      bootstrap.childOption(EpollChannelOption.TCP_NOTSENT_LOWAT, MOST_UNSENT);
    }
    try {
      Channel listener = bootstrap.bind(host, port).syncUninterruptibly().channel();
      Future<?> sweeps =
          threads
              .loops()
              .next()
              .scheduleWithFixedDelay(
                  counted::sweep, SWEEP_MILLIS, SWEEP_MILLIS, TimeUnit.MILLISECONDS);
      return new HttpServer(connections, listener, sweeps);
    } catch (Exception e) {
      // Netty throws the bind's checked exception without declaring it.
      throw new EpidoteException.Unavailable(
          "Cannot listen for HTTP on %s port %d: %s. Stop the process that has the port, or choose another with --http-port (0 picks a free one)."
              .formatted(host, port, e.getMessage()),
          e);
    }
  }

  public int port() {
    return ((InetSocketAddress) listener.localAddress()).getPort();
  }

  /** Takes no more connections; those that are open go on. */
  public void stopListening() {
    listener.close().awaitUninterruptibly(1, TimeUnit.SECONDS);
  }

  @Override
  public void close() {
    stopListening();
    sweeps.cancel(false);
    connections.close().awaitUninterruptibly(1, TimeUnit.SECONDS);
  }

  private static final class Pipeline extends ChannelInitializer<Channel> {
    private final ChannelGroup connections;
    private final Connections counted;
    private final long maxBody;
    private final ByteBudget budget;
    private final ResponseCounter counter;
    private final Optional<SslContext> tls;
    private final OpenAiApi api;

    Pipeline(
        ChannelGroup connections,
        Connections counted,
        long maxBody,
        ByteBudget budget,
        ResponseCounter counter,
        Optional<SslContext> tls,
        OpenAiApi api) {
      this.connections = connections;
      this.counted = counted;
      this.maxBody = maxBody;
      this.budget = budget;
      this.counter = counter;
      this.tls = tls;
      this.api = api;
    }

    @Override
    protected void initChannel(Channel channel) {
      Pace pace = new Pace();
      HttpConnection connection =
          new HttpConnection(maxBody, budget, api::caller, api::handle, pace, counted);
      if (!(channel.remoteAddress() instanceof InetSocketAddress from)
          || !counted.admit(connection, from.getAddress())) {
        channel.close();
        return;
      }
      connections.add(channel);
      tls.ifPresent(context -> channel.pipeline().addLast(secured(context, channel)));
      channel
          .pipeline()
          .addLast(pace)
          .addLast(
              new HttpServerCodec(
                  new HttpDecoderConfig().setMaxHeaderSize(32 << 10).setMaxChunkSize(256 << 10)))
          .addLast(counter)
          .addLast(connection);
    }

    private static SslHandler secured(SslContext context, Channel channel) {
      SslHandler handler = context.newHandler(channel.alloc());
      handler.setHandshakeTimeoutMillis(HANDSHAKE_MILLIS);
      handler
          .handshakeFuture()
          .addListener(done -> {
            if (!done.isSuccess()) {
              Refusals.handshake(channel, done.cause());
            }
          });
      return handler;
    }
  }
}
