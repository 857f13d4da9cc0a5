package io.epidote.node.transfer;

import io.netty.handler.codec.http2.Http2Error;
import io.netty.handler.codec.http2.Http2Exception;
import java.util.logging.Filter;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/**
 * Keeps gRPC from logging a stack trace for each chunk that came too late for its stream: a puller
 * that cancels always leaves some, and whoever ended the stream has dealt with it.
 */
final class LateWrites implements Filter {
  /** Held, because a logger that nobody holds forgets its filter. */
  private static final Logger GRPC = Logger.getLogger("io.grpc.netty.NettyServerHandler");

  private LateWrites() {}

  static void areExpected() {
    GRPC.setFilter(new LateWrites());
  }

  @Override
  public boolean isLoggable(LogRecord message) {
    return !(message.getThrown() instanceof Http2Exception.StreamException error
        && error.error() == Http2Error.STREAM_CLOSED);
  }
}
