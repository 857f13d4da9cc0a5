package io.epidote.router.openai;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.trace.TraceParent;
import io.epidote.router.access.Caller;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.Outbox;
import io.epidote.router.request.RequestHeaders;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufInputStream;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.DefaultHttpContent;
import io.netty.handler.codec.http.DefaultHttpResponse;
import io.netty.handler.codec.http.DefaultLastHttpContent;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import java.io.InputStream;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * One request on a connection and its response. Answers may be given by any thread; they are
 * written by the connection's event loop, in order and no faster than the client reads.
 */
final class Exchange {
  private static final Runnable GONE = () -> {};

  /** Bytes after which parts are not gathered further. */
  private static final int GATHERED = 4096;

  private final Channel channel;
  private final HttpRequest head;
  private final Caller caller;
  private final RequestHeaders said;
  private final String requestId;
  private final Runnable onComplete;
  private final Outbox<Part> outbox;
  private final long arrivalNanos = System.nanoTime();
  private final AtomicReference<@Nullable ByteBuf> body;
  private final AtomicReference<@Nullable Runnable> onDisconnect = new AtomicReference<>();
  private boolean keepAlive;

  /** Parts of a stream that were written and not flushed. Of the event loop alone. */
  private @Nullable ByteBuf gathered;

  /**
   * @param caller whose request it is
   * @param body owned by the exchange
   * @param newId for a request that names no valid {@code x-request-id}
   * @param onComplete called by the event loop when the whole response was written
   */
  Exchange(
      Channel channel,
      HttpRequest head,
      Caller caller,
      ByteBuf body,
      String newId,
      Runnable onComplete) {
    this.channel = channel;
    this.head = head;
    this.caller = caller;
    this.body = new AtomicReference<>(body);
    this.said = new RequestHeaders(name -> head.headers().get(name));
    this.requestId = said.requestId().orElse(newId);
    this.onComplete = onComplete;
    this.keepAlive = head.decoderResult().isSuccess() && HttpUtil.isKeepAlive(head);
    this.outbox =
        new Outbox<>(
            channel.eventLoop(),
            new Outbox.Sink<>() {
              @Override
              public boolean ready() {
                return channel.isWritable();
              }

              @Override
              public void write(Part part) {
                writePart(part);
              }

              @Override
              public void flush() {
                flushParts();
              }
            });
  }

  /** What a response is written as. */
  private sealed interface Part {}

  /** A whole response, or what a stream begins with. */
  private record Head(HttpResponse response) implements Part {}

  /** Bytes of a stream. */
  private record Bytes(byte[] bytes, boolean last) implements Part {}

  /** The client's {@code x-request-id} when it is valid, else a new one. */
  String requestId() {
    return requestId;
  }

  /** What the client says beside the body. */
  RequestHeaders said() {
    return said;
  }

  /**
   * For whom the request is, by its key or by its header; empty when neither says.
   *
   * @throws InvalidField when the header cannot be a tenant's name
   * @throws EpidoteException.Forbidden when the header names another tenant than the key's
   */
  String tenant() {
    return caller.tenant(said.tenant());
  }

  HttpMethod method() {
    return head.method();
  }

  String uri() {
    return head.uri();
  }

  /** The trace that the client names. */
  TraceParent traceParent() {
    return TraceParent.of(
        head.headers().get(TraceParent.PARENT), head.headers().get(TraceParent.STATE));
  }

  /** What the client can read, or null when it does not say. */
  @Nullable String accept() {
    return head.headers().get(HttpHeaderNames.ACCEPT);
  }

  long arrivalNanos() {
    return arrivalNanos;
  }

  /** The body, once; whoever takes it closes the stream, which frees the body. */
  InputStream takeBody() {
    ByteBuf taken = body.getAndSet(null);
    return new ByteBufInputStream(taken == null ? Unpooled.EMPTY_BUFFER : taken, true);
  }

  /** Runs {@code action} when the client goes away before the response is complete, or has. */
  void onDisconnect(Runnable action) {
    if (!onDisconnect.compareAndSet(null, action) && onDisconnect.get() == GONE) {
      action.run();
    }
  }

  /** Called by the connection, in its event loop. */
  void disconnected() {
    Runnable action = onDisconnect.getAndSet(GONE);
    if (action != null) {
      action.run();
    }
    releaseBody();
  }

  /** Called by the connection when the client reads again. */
  void writable() {
    outbox.drain();
  }

  /** The connection ends after this response. */
  void closeAfter() {
    keepAlive = false;
  }

  boolean keepAlive() {
    return keepAlive;
  }

  void respond(HttpResponseStatus status, CharSequence type, byte[] content) {
    respond(status, type, content, Map.of());
  }

  void respond(WebPaths.Reply reply) {
    respond(reply.status(), reply.type(), reply.body(), reply.headers());
  }

  void respond(HttpError error) {
    respond(error, null);
  }

  /**
   * @param allow methods for the Allow header, or null
   */
  void respond(HttpError error, @Nullable String allow) {
    Map<String, String> headers =
        error.status().equals(HttpResponseStatus.UNAUTHORIZED)
            ? Map.of(HttpHeaderNames.WWW_AUTHENTICATE.toString(), "Bearer")
            : error.mayRetry()
                ? Map.of(HttpHeaderNames.RETRY_AFTER.toString(), error.retryAfter())
                : allow == null ? Map.of() : Map.of(HttpHeaderNames.ALLOW.toString(), allow);
    respond(error.status(), HttpHeaderValues.APPLICATION_JSON, error.bytes(), headers);
  }

  private void respond(
      HttpResponseStatus status, CharSequence type, byte[] content, Map<String, String> headers) {
    DefaultFullHttpResponse response =
        new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, status, Unpooled.wrappedBuffer(content));
    fillHeaders(response.headers(), type);
    headers.forEach(response.headers()::set);
    HttpUtil.setContentLength(response, content.length);
    outbox.put(new Head(response), content.length);
  }

  /** Starts a response whose parts come later. */
  void startStream(CharSequence type) {
    HttpResponse response = new DefaultHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.OK);
    if (head.protocolVersion().isKeepAliveDefault()) {
      HttpUtil.setTransferEncodingChunked(response, true);
    } else {
      // HTTP/1.0 knows no chunks: the end of the connection is the end of the response.
      keepAlive = false;
    }
    fillHeaders(response.headers(), type);
    response.headers().set(HttpHeaderNames.CACHE_CONTROL, HttpHeaderValues.NO_CACHE);
    outbox.put(new Head(response), 0);
  }

  /** Returns false when so much waits for a slow client that the part was not taken. */
  boolean streamPart(byte[] part) {
    return outbox.offer(new Bytes(part, false), part.length);
  }

  /** Sends a part that is taken however much waits: for the few that end an answer. */
  void streamFinal(byte[] part) {
    outbox.put(new Bytes(part, false), part.length);
  }

  /** Ends a stream with a part that is taken however much waits. */
  void endStream(byte[] last) {
    outbox.put(new Bytes(last, true), last.length);
  }

  private void fillHeaders(HttpHeaders headers, CharSequence type) {
    headers.set(HttpHeaderNames.CONTENT_TYPE, type);
    headers.set("x-request-id", requestId);
    headers.set(
        "openai-processing-ms", TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - arrivalNanos));
    if (!keepAlive) {
      headers.set(HttpHeaderNames.CONNECTION, HttpHeaderValues.CLOSE);
    } else if (!head.protocolVersion().isKeepAliveDefault()) {
      headers.set(HttpHeaderNames.CONNECTION, HttpHeaderValues.KEEP_ALIVE);
    }
  }

  private void writePart(Part part) {
    switch (part) {
      case Head(HttpResponse response) -> {
        channel.write(response, channel.voidPromise());
        if (response instanceof LastHttpContent) {
          complete();
        }
      }
      case Bytes(byte[] bytes, boolean last) -> {
        if (gathered == null) {
          gathered = channel.alloc().ioBuffer(Math.max(GATHERED, bytes.length));
        }
        gathered.writeBytes(bytes);
        if (last) {
          writeGathered(true);
          complete();
        } else if (gathered.readableBytes() >= GATHERED) {
          writeGathered(false);
        }
      }
    }
  }

  /** Parts that wait at the same time leave as one chunk: a client sees events, not chunks. */
  private void writeGathered(boolean last) {
    ByteBuf chunk = gathered;
    gathered = null;
    if (chunk != null) {
      channel.write(
          last ? new DefaultLastHttpContent(chunk) : new DefaultHttpContent(chunk),
          channel.voidPromise());
    }
  }

  private void flushParts() {
    writeGathered(false);
    channel.flush();
  }

  private void complete() {
    onDisconnect.set(GONE);
    releaseBody();
    onComplete.run();
  }

  private void releaseBody() {
    ByteBuf left = body.getAndSet(null);
    if (left != null) {
      left.release();
    }
  }
}
