package io.epidote.router.net;

import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.ServerChannel;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.net.InetSocketAddress;
import java.util.concurrent.TimeUnit;

/**
 * The threads on which a router reads and writes. Clients' connections and calls to nodes share
 * them: there are no more than processors, and a token often reaches its client on the thread that
 * it came on, without waking another.
 */
public final class NetworkThreads implements AutoCloseable {
  private static final int MOST = 16;

  private final boolean epoll = Epoll.isAvailable();
  private final EventLoopGroup loops =
      new MultiThreadIoEventLoopGroup(
          Math.min(MOST, Runtime.getRuntime().availableProcessors()),
          new DefaultThreadFactory("network", true),
          epoll ? EpollIoHandler.newFactory() : NioIoHandler.newFactory());

  public EventLoopGroup loops() {
    return loops;
  }

  /** Whether {@link #listener} is epoll's, which has options of its own. */
  public boolean isEpoll() {
    return epoll;
  }

  /** What listens on them. */
  public Class<? extends ServerChannel> listener() {
    return epoll ? EpollServerSocketChannel.class : NioServerSocketChannel.class;
  }

  /** Has a channel use them. */
  public NettyChannelBuilder carry(NettyChannelBuilder channel) {
    return channel
        .eventLoopGroup(loops)
        .channelType(
            epoll ? EpollSocketChannel.class : NioSocketChannel.class, InetSocketAddress.class);
  }

  /** Has a server use them. */
  public NettyServerBuilder carry(NettyServerBuilder server) {
    return server.channelType(listener()).bossEventLoopGroup(loops).workerEventLoopGroup(loops);
  }

  /** Stops them. To be called when all servers and channels are closed. */
  @Override
  public void close() {
    loops.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly(2, TimeUnit.SECONDS);
  }
}
