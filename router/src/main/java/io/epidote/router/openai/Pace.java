package io.epidote.router.openai;

import io.epidote.router.access.HttpLimits;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import java.time.Duration;

/**
 * What a connection waits for, and since when. Stands before the HTTP codec, which shows a
 * request's head only when all of it has come. Written by the event loop, read by the sweep of
 * {@link Connections}.
 */
final class Pace extends ChannelInboundHandlerAdapter {
  enum Waits {
    /** For the first request. */
    FIRST,
    /** For another request, of which no byte has come. */
    NEXT,
    /** For the rest of a head. */
    HEAD,
    BODY,
    /** For the router's answer. */
    ANSWER
  }

  private volatile Waits waits = Waits.FIRST;
  private volatile long since = System.nanoTime();
  private volatile long lastByte = since;
  private volatile long bodyBytes;

  /** When the client's buffers were full; 0 while there is room. */
  private volatile long fullSince;

  @Override
  public void channelRead(ChannelHandlerContext context, Object message) throws Exception {
    if (waits == Waits.FIRST) {
      // Its time goes on from the connection's begin.
      waits = Waits.HEAD;
    } else if (waits == Waits.NEXT || waits == Waits.ANSWER) {
      now(Waits.HEAD);
    }
    super.channelRead(context, message);
  }

  private void now(Waits next) {
    since = System.nanoTime();
    lastByte = since;
    waits = next;
  }

  void head() {
    bodyBytes = 0;
    now(Waits.BODY);
  }

  void body(int bytes) {
    bodyBytes += bytes;
    lastByte = System.nanoTime();
  }

  /** A whole request has come. */
  void request() {
    now(Waits.ANSWER);
  }

  /** Nothing is left to be answered. */
  void answered() {
    if (waits == Waits.ANSWER) {
      now(Waits.NEXT);
    }
  }

  void writable(boolean room) {
    fullSince = room ? 0 : System.nanoTime();
  }

  Waits waits() {
    return waits;
  }

  long since() {
    return since;
  }

  /** What came of a body on average since its head; unbounded in its first second. */
  double bodyBytesPerSecond(long now) {
    double seconds = (now - since) / 1e9;
    return seconds < 1 ? Double.POSITIVE_INFINITY : bodyBytes / seconds;
  }

  /** Whether the client has not read for so long, also while nothing is read of it. */
  boolean isStalled(HttpLimits limits, long now) {
    long full = fullSince;
    return full != 0 && beyond(limits.stall(), now - full);
  }

  /** Whether the client, of whom something is awaited, has had its time. */
  boolean isOver(HttpLimits limits, long now) {
    return switch (waits) {
      case FIRST, HEAD -> beyond(limits.head(), now - since);
      case NEXT -> beyond(limits.idle(), now - since);
      case BODY ->
          beyond(limits.stall(), now - lastByte)
              || (beyond(limits.stall(), now - since)
                  && bodyBytesPerSecond(now) < limits.leastBytesPerSecond());
      case ANSWER -> false;
    };
  }

  private static boolean beyond(Duration bound, long nanos) {
    return nanos > bound.toNanos();
  }
}
