package io.epidote.router.openai;

import io.epidote.engine.error.EpidoteException;
import io.epidote.router.access.Caller;
import io.epidote.router.request.ByteBudget;
import io.epidote.router.request.RequestFlow;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.CompositeByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.socket.DuplexChannel;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.DefaultHttpRequest;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.ssl.SslHandler;
import io.netty.util.ReferenceCountUtil;
import java.net.InetAddress;
import java.util.ArrayDeque;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One client's connection: puts bodies together up to the limit, and answers pipelined requests one
 * after the other. It goes on reading while a request is answered, because that is how a client
 * that went away is noticed. Used by its event loop only.
 */
final class HttpConnection extends ChannelInboundHandlerAdapter {
  private static final Logger log = LoggerFactory.getLogger(HttpConnection.class);
  private static final int MAX_PIPELINED = 16;

  /** A client that is told that its body is not wanted gets this long to read the answer. */
  private static final int REFUSED_SECONDS = 5;

  private final long maxBody;
  private final ByteBudget budget;
  private final Function<HttpRequest, Caller> gate;
  private final Consumer<Exchange> dispatch;
  private final Pace pace;
  private final Connections all;
  private final AtomicBoolean toldLate = new AtomicBoolean();
  private Optional<InetAddress> address = Optional.empty();
  private volatile @Nullable ChannelHandlerContext context;

  /**
   * An exchange that waits for those before it.
   *
   * @param refusal the answer when the request is not even read, else null
   * @param bytes taken from the budget
   */
  private record Waiting(Exchange exchange, @Nullable HttpError refusal, long bytes) {}

  /** The first one is being answered. */
  private final Queue<Waiting> waiting = new ArrayDeque<>();

  private @Nullable HttpRequest head;
  private @Nullable CompositeByteBuf body;
  private Caller caller = Caller.ANYBODY;
  private boolean refused;

  /**
   * @param maxBody largest body in bytes
   * @param gate says whose request it is by its head, or throws; called in the event loop
   * @param dispatch answers an exchange; called in the event loop, must not block
   */
  HttpConnection(
      long maxBody,
      ByteBudget budget,
      Function<HttpRequest, Caller> gate,
      Consumer<Exchange> dispatch,
      Pace pace,
      Connections all) {
    this.maxBody = maxBody;
    this.budget = budget;
    this.gate = gate;
    this.dispatch = dispatch;
    this.pace = pace;
    this.all = all;
  }

  Pace pace() {
    return pace;
  }

  /** Is among all from now on. */
  void joined(InetAddress from) {
    address = Optional.of(from);
  }

  /** Where it is from, once it is among all. */
  Optional<InetAddress> address() {
    return address;
  }

  /** Whether it is this side that waits. */
  boolean isReading() {
    ChannelHandlerContext ctx = context;
    return ctx != null && ctx.channel().config().isAutoRead();
  }

  /** Ends it at once; by any thread. */
  void close() {
    ChannelHandlerContext ctx = context;
    if (ctx != null) {
      ctx.close();
    }
  }

  /** Ends it because its client was too slow; by any thread. Returns true the first time. */
  boolean late() {
    ChannelHandlerContext ctx = context;
    if (ctx != null) {
      ctx.executor()
          .execute(() -> {
            boolean begun = pace.waits() == Pace.Waits.HEAD || pace.waits() == Pace.Waits.BODY;
            boolean reads = ctx.channel().isWritable();
            if (begun && reads && waiting.isEmpty() && !refused) {
              refuse(ctx, HttpError.tooSlow());
            } else if (!refused || !reads) {
              ctx.close();
            }
          });
    }
    return toldLate.compareAndSet(false, true);
  }

  @Override
  public void handlerAdded(ChannelHandlerContext ctx) {
    context = ctx;
  }

  @Override
  public void channelRead(ChannelHandlerContext ctx, Object message) {
    try {
      if (refused) {
        return;
      }
      HttpObject part = (HttpObject) message;
      if (part.decoderResult().isFailure()) {
        refuse(ctx, malformed(part.decoderResult().cause()));
        return;
      }
      if (part instanceof HttpRequest request) {
        begin(ctx, request);
      }
      if (part instanceof HttpContent content) {
        take(ctx, content);
      }
    } finally {
      ReferenceCountUtil.release(message);
    }
  }

  private static HttpError malformed(Throwable cause) {
    return HttpError.badRequest(
        "The bytes are no HTTP/1.1 request: %s. Check what stands between client and router."
            .formatted(cause.getMessage()),
        "malformed_http");
  }

  private void begin(ChannelHandlerContext ctx, HttpRequest request) {
    head = request;
    pace.head();
    try {
      caller = gate.apply(request);
    } catch (EpidoteException e) {
      refuse(ctx, HttpError.of(e));
      return;
    }
    if (HttpUtil.getContentLength(request, 0L) > maxBody) {
      refuse(ctx, HttpError.tooLarge(maxBody));
      return;
    }
    body = ctx.alloc().compositeBuffer(4096);
    if (HttpUtil.is100ContinueExpected(request) && waiting.isEmpty()) {
      ctx.writeAndFlush(
          new DefaultFullHttpResponse(
              HttpVersion.HTTP_1_1, HttpResponseStatus.CONTINUE, Unpooled.EMPTY_BUFFER));
    }
  }

  private void take(ChannelHandlerContext ctx, HttpContent content) {
    CompositeByteBuf received = body;
    if (received == null || head == null) {
      return;
    }
    int size = content.content().readableBytes();
    pace.body(size);
    if (received.readableBytes() + (long) size > maxBody) {
      refuse(ctx, HttpError.tooLarge(maxBody));
    } else if (!budget.take(size)) {
      refuse(ctx, HttpError.busyReceiving());
    } else {
      received.addComponent(true, content.content().retain());
      if (content instanceof LastHttpContent) {
        HttpRequest request = head;
        head = null;
        body = null;
        pace.request();
        add(ctx, request, received, received.readableBytes(), null);
      }
    }
  }

  /** Answers without reading the rest; the connection ends with the answer. */
  private void refuse(ChannelHandlerContext ctx, HttpError error) {
    refused = true;
    HttpRequest request =
        head != null ? head : new DefaultHttpRequest(HttpVersion.HTTP_1_1, HttpMethod.GET, "/");
    dropBody();
    add(ctx, request, Unpooled.EMPTY_BUFFER, 0, error);
  }

  private void add(
      ChannelHandlerContext ctx,
      HttpRequest request,
      ByteBuf received,
      long bytes,
      @Nullable HttpError refusal) {
    Exchange exchange =
        new Exchange(
            ctx.channel(), request, caller, received, RequestFlow.newId(), () -> answered(ctx));
    waiting.add(new Waiting(exchange, refusal, bytes));
    if (waiting.size() == 1) {
      answerNext();
    } else if (waiting.size() >= MAX_PIPELINED) {
      ctx.channel().config().setAutoRead(false);
    }
  }

  private void answerNext() {
    Waiting next = waiting.peek();
    if (next == null) {
      return;
    }
    if (next.refusal() != null) {
      next.exchange().closeAfter();
      next.exchange().respond(next.refusal());
    } else {
      dispatch.accept(next.exchange());
    }
  }

  private void answered(ChannelHandlerContext ctx) {
    Waiting done = waiting.remove();
    budget.giveBack(done.bytes());
    if (done.refusal() != null) {
      // Closing while the client still sends would reset the connection under the answer: say that
      // the answer is complete, and read what comes to nowhere for a while.
      ctx.channel().config().setAutoRead(true);
      ctx.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(sent -> endOutput(ctx));
      ctx.executor().schedule(() -> ctx.close(), REFUSED_SECONDS, TimeUnit.SECONDS);
    } else if (!done.exchange().keepAlive()) {
      ctx.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(ChannelFutureListener.CLOSE);
    } else {
      if (waiting.isEmpty()) {
        pace.answered();
      }
      if (waiting.size() < MAX_PIPELINED / 2) {
        ctx.channel().config().setAutoRead(true);
      }
      // Not from within the write of this answer: a long pipeline would nest as deep.
      ctx.executor().execute(this::answerNext);
    }
  }

  private static void endOutput(ChannelHandlerContext ctx) {
    SslHandler tls = ctx.pipeline().get(SslHandler.class);
    if (tls != null) {
      tls.closeOutbound();
    } else if (ctx.channel() instanceof DuplexChannel plain) {
      plain.shutdownOutput();
    }
  }

  @Override
  public void channelWritabilityChanged(ChannelHandlerContext ctx) {
    pace.writable(ctx.channel().isWritable());
    Waiting current = waiting.peek();
    if (current != null && ctx.channel().isWritable()) {
      current.exchange().writable();
    }
    ctx.fireChannelWritabilityChanged();
  }

  @Override
  public void channelInactive(ChannelHandlerContext ctx) {
    all.leave(this);
    dropBody();
    for (Waiting gone : waiting) {
      gone.exchange().disconnected();
      budget.giveBack(gone.bytes());
    }
    waiting.clear();
    ctx.fireChannelInactive();
  }

  private void dropBody() {
    head = null;
    if (body != null) {
      budget.giveBack(body.readableBytes());
      body.release();
      body = null;
    }
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
    log.debug("Connection {} failed", ctx.channel(), cause);
    ctx.close();
  }
}
