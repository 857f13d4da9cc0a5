package io.epidote.node.transfer;

import static io.grpc.MethodDescriptor.generateFullMethodName;

import com.google.common.util.concurrent.MoreExecutors;
import io.epidote.node.grpc.ChannelKind;
import io.epidote.node.grpc.GrpcTransport;
import io.epidote.node.tls.AddedHandler;
import io.epidote.node.tls.Tls;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallExecutorSupplier;
import io.grpc.netty.GrpcHttp2ConnectionHandler;
import io.grpc.netty.InternalNettyChannelBuilder;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.netty.channel.AdaptiveRecvByteBufAllocator;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOption;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import io.netty.channel.socket.nio.NioServerDomainSocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.netty.handler.codec.http2.Http2Settings;
import io.netty.handler.ssl.SslContext;
import java.net.InetSocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * gRPC connections for bulk data: threads of their own, so that no token waits behind a chunk, and
 * the settings that make a chunk cheap.
 *
 * <ul>
 *   <li>Frames of up to a mebibyte instead of 16 KiB, which the puller announces as HTTP/2 has it.
 *   <li>What a read brings stays where it is until it is complete (a composite), instead of being
 *       copied together.
 *   <li>Messages are taken on the connection's own thread, while their bytes are in its cache.
 *   <li>Producers send their blocks themselves: {@link ChunkSender}.
 * </ul>
 */
public final class BulkTransport implements AutoCloseable {
  /** A puller's credit: bytes that may be on their way to it over one connection. */
  static final int CREDIT_BYTES = 8 << 20;

  private static final int FRAME_BYTES = 1 << 20;

  /** Larger reads leave the cache before they are taken; smaller ones cost objects each. */
  private static final int READ_BYTES = 256 << 10;

  /** A Unix socket's own buffer is too small for a chunk. */
  private static final int UNIX_BUFFER_BYTES = 2 << 20;

  /** A flow controller fills a connection's buffer up to here; a frame cannot be longer. */
  private static final WriteBufferWaterMark BUFFERED =
      new WriteBufferWaterMark(FRAME_BYTES, 2 * FRAME_BYTES);

  /** gRPC sets the option on every socket, and Netty complains about each that has none. */
  private static final @Nullable Boolean NOT_FOR_UNIX = null;

  private static final String UNIX = "unix:";
  private static final String PULL =
      generateFullMethodName(
          TransferServiceGrpc.SERVICE_NAME,
          TransferServiceGrpc.getPullMethod().getBareMethodName());

  private final ChunkSender sender = new ChunkSender();
  private final Optional<SslContext> serverTls;
  private final Optional<SslContext> clientTls;
  private final EventLoopGroup pulling = threads("epidote-pull");
  private final EventLoopGroup giving = threads("epidote-give");

  /** Without TLS. */
  public BulkTransport() {
    this(Optional.empty());
  }

  public BulkTransport(Optional<Tls> tls) {
    this.serverTls = tls.map(Tls::memberServer);
    this.clientTls = tls.map(Tls::memberClient);
  }

  /** One thread moves gigabytes a second. They start when they are needed. */
  private static EventLoopGroup threads(String name) {
    int count = Math.clamp(Runtime.getRuntime().availableProcessors() / 4, 1, 4);
    return new MultiThreadIoEventLoopGroup(
        count, new YieldingThreads(name), NioIoHandler.newFactory());
  }

  ChunkSender sender() {
    return sender;
  }

  /** The name of a Unix socket as an address for {@link #channel}. */
  static String unixAddress(Path socket) {
    return UNIX + socket;
  }

  /**
   * A channel to pull over.
   *
   * @param address {@code host:port} or {@link #unixAddress}
   */
  public ManagedChannelBuilder<?> channel(String address) {
    NettyChannelBuilder builder =
        address.startsWith(UNIX)
            ? NettyChannelBuilder.forAddress(
                    UnixDomainSocketAddress.of(address.substring(UNIX.length())))
                .channelType(NioDomainSocketChannel.class, UnixDomainSocketAddress.class)
                .withOption(ChannelOption.SO_KEEPALIVE, NOT_FOR_UNIX)
            : GrpcTransport.forAddress(address)
                .channelType(NioSocketChannel.class, InetSocketAddress.class);
    GrpcTransport.configure(builder, ChannelKind.BULK)
        .eventLoopGroup(pulling)
        .directExecutor()
        // Not tuned to the measured bandwidth: it is the bound on what is on its way.
        .flowControlWindow(CREDIT_BYTES)
        .withOption(
            ChannelOption.RECVBUF_ALLOCATOR,
            new AdaptiveRecvByteBufAllocator(READ_BYTES / 4, READ_BYTES, READ_BYTES));
    Optional<SslContext> secured = address.startsWith(UNIX) ? Optional.empty() : clientTls;
    InternalNettyChannelBuilder.setProtocolNegotiatorFactory(
        builder,
        () ->
            new AddedHandler(
                AddedHandler.client(secured),
                http2 -> {
                  http2.setCumulator(ByteToMessageDecoder.COMPOSITE_CUMULATOR);
                  return new FrameSize(http2);
                }));
    return builder;
  }

  /** Makes a server fit for {@link TransferServer}; with TLS only members reach it. */
  public NettyServerBuilder prepare(NettyServerBuilder builder) {
    return prepare(builder, serverTls);
  }

  private NettyServerBuilder prepare(NettyServerBuilder builder, Optional<SslContext> secured) {
    LateWrites.areExpected();
    return builder
        .withChildOption(ChannelOption.WRITE_BUFFER_WATER_MARK, BUFFERED)
        .callExecutor(new PullsOnTheirConnection())
        .protocolNegotiator(new AddedHandler(AddedHandler.server(secured), _ -> sender.splicer()));
  }

  /** A server for pulls alone, on threads for bulk data. */
  public NettyServerBuilder server(InetSocketAddress address) {
    return prepare(
        GrpcTransport.server(address)
            .channelType(NioServerSocketChannel.class)
            .bossEventLoopGroup(giving)
            .workerEventLoopGroup(giving)
            .directExecutor());
  }

  /** The same on a Unix socket, which is in a folder of this user alone and needs no TLS. */
  NettyServerBuilder unixServer(Path socket) {
    return prepare(
        GrpcTransport.configure(NettyServerBuilder.forAddress(UnixDomainSocketAddress.of(socket)))
            .channelType(NioServerDomainSocketChannel.class)
            .bossEventLoopGroup(giving)
            .workerEventLoopGroup(giving)
            .directExecutor()
            .withChildOption(ChannelOption.SO_KEEPALIVE, NOT_FOR_UNIX)
            .withChildOption(ChannelOption.SO_SNDBUF, UNIX_BUFFER_BYTES),
        Optional.empty());
  }

  /** Stops the threads. To be called when all channels and servers are closed. */
  @Override
  public void close() {
    pulling.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    giving.shutdownGracefully(0, 1, TimeUnit.SECONDS);
  }

  /** A pull is work of its connection; whatever else a server does has the server's threads. */
  private static final class PullsOnTheirConnection implements ServerCallExecutorSupplier {
    @Override
    public <Q, R> @Nullable Executor getExecutor(ServerCall<Q, R> call, Metadata headers) {
      return call.getMethodDescriptor().getFullMethodName().equals(PULL)
          ? MoreExecutors.directExecutor()
          : null;
    }
  }

  /** Announces the largest frame once HTTP/2 is up, which the first write shows. */
  private static final class FrameSize extends ChannelOutboundHandlerAdapter {
    private final GrpcHttp2ConnectionHandler http2;

    FrameSize(GrpcHttp2ConnectionHandler http2) {
      this.http2 = http2;
    }

    @Override
    public void write(ChannelHandlerContext context, Object message, ChannelPromise promise)
        throws Exception {
      ChannelHandlerContext connection = context.pipeline().context(http2);
      if (connection != null) {
        http2
            .encoder()
            .writeSettings(
                connection, new Http2Settings().maxFrameSize(FRAME_BYTES), connection.newPromise());
        context.pipeline().remove(this);
      }
      super.write(context, message, promise);
    }
  }
}
