package io.epidote.cli.load;

import io.epidote.cli.load.Answer.Failure;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpClientCodec;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLException;
import org.jspecify.annotations.Nullable;

/**
 * A server that speaks OpenAI's API over HTTP/1.1. One event loop has all connections, which are
 * used again; a request gets a new one where none is idle, so that any number can be at work.
 */
public final class OpenAiTarget implements LoadTarget {
  private static final int CONNECT_MS = 10_000;

  private final URI root;
  private final OpenAiBody body;
  private final Access access;
  private final long idleNanos;
  private final EventLoopGroup group;
  private final EventLoop loop;
  private final Bootstrap bootstrap;

  /** Of the event loop alone. */
  private final Deque<Channel> idle = new ArrayDeque<>();

  /**
   * @param url http://host:port, with or without /v1
   * @param access certificates and key
   * @param idleTimeout how long nothing may come of an answer that is awaited
   * @throws InvalidRequest when the URL is none
   */
  OpenAiTarget(String url, OpenAiBody body, Access access, Duration idleTimeout) {
    this.root = root(url);
    this.body = body;
    this.access = access;
    this.idleNanos = idleTimeout.toNanos();
    boolean epoll = Epoll.isAvailable();
    this.group =
        new MultiThreadIoEventLoopGroup(
            1,
            new DefaultThreadFactory("load", true),
            epoll ? EpollIoHandler.newFactory() : NioIoHandler.newFactory());
    this.loop = group.next();
    SslContext tls = root.getScheme().equals("https") ? tls(access) : null;
    this.bootstrap =
        new Bootstrap()
            .group(loop)
            .channel(epoll ? EpollSocketChannel.class : NioSocketChannel.class)
            .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, CONNECT_MS)
            .option(ChannelOption.TCP_NODELAY, true)
            .remoteAddress(root.getHost(), port(root))
            .handler(pipeline(tls));
  }

  private ChannelInitializer<Channel> pipeline(@Nullable SslContext tls) {
    return new ChannelInitializer<>() {
      @Override
      protected void initChannel(Channel channel) {
        if (tls != null) {
          channel.pipeline().addLast(tls.newHandler(channel.alloc(), root.getHost(), port(root)));
        }
        channel
            .pipeline()
            .addLast(new HttpClientCodec())
            .addLast("exchange", new OpenAiConnection(idleNanos, idle));
      }
    };
  }

  /** What stands before /v1, without a slash at its end. */
  static URI root(String url) {
    String trimmed = url.replaceFirst("/+$", "").replaceFirst("/v1$", "");
    try {
      URI uri = URI.create(trimmed);
      if (uri.getHost() != null && String.valueOf(uri.getScheme()).matches("https?")) {
        return uri;
      }
    } catch (IllegalArgumentException e) {
      // Said below.
    }
    throw new InvalidRequest(
        "\"%s\" is no address of a server; expected one such as http://127.0.0.1:8000"
            .formatted(url));
  }

  private static int port(URI uri) {
    return uri.getPort() >= 0 ? uri.getPort() : uri.getScheme().equals("https") ? 443 : 80;
  }

  private static SslContext tls(Access access) {
    if (access.tls().isPresent()) {
      return access.tls().get().http();
    }
    try {
      return SslContextBuilder.forClient().build();
    } catch (SSLException e) {
      throw new InvalidRequest("This JVM cannot speak TLS: " + e.getMessage(), e);
    }
  }

  @Override
  public String address() {
    return root.toString();
  }

  @Override
  public Prepared prepare(LoadRequest request) {
    byte[] bytes = body.of(request);
    return answer -> loop.execute(() -> send(bytes, answer, true));
  }

  private void send(byte[] bytes, Answer answer, boolean mayRetry) {
    for (Channel free = idle.pollLast(); free != null; free = idle.pollLast()) {
      if (free.isActive()) {
        // A server may close a connection just when it is used again; that is nobody's failure.
        write(free, bytes, answer, mayRetry ? () -> send(bytes, answer, false) : null);
        return;
      }
    }
    ChannelFuture connecting = bootstrap.connect();
    connecting.addListener(_ -> {
      if (connecting.isSuccess()) {
        write(connecting.channel(), bytes, answer, null);
      } else {
        answer.fail(
            Failure.CONNECT,
            "%s takes no connection (%s); is the server running, and is --url right?"
                .formatted(root, connecting.cause().getMessage()));
      }
    });
  }

  private void write(Channel channel, byte[] bytes, Answer answer, @Nullable Runnable retry) {
    FullHttpRequest request =
        new DefaultFullHttpRequest(
            HttpVersion.HTTP_1_1,
            HttpMethod.POST,
            String.valueOf(root.getRawPath()).replaceFirst("/$", "") + "/v1" + body.api().path(),
            Unpooled.wrappedBuffer(bytes));
    request
        .headers()
        .set(HttpHeaderNames.HOST, root.getAuthority())
        .set(HttpHeaderNames.CONTENT_TYPE, "application/json")
        .set(HttpHeaderNames.ACCEPT, "text/event-stream")
        .set(HttpHeaderNames.CONTENT_LENGTH, bytes.length);
    access
        .key()
        .ifPresent(
            token -> request.headers().set(HttpHeaderNames.AUTHORIZATION, "Bearer " + token));
    ((OpenAiConnection) channel.pipeline().get("exchange")).begin(channel, request, answer, retry);
  }

  /** Open connections end; whoever waits for an answer on one hears that it was cut. */
  @Override
  public void close() {
    group.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly(2, TimeUnit.SECONDS);
  }
}
