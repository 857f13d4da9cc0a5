package io.epidote.node.tls;

import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.ssl.NotSslRecordException;
import java.security.cert.CertPathBuilderException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import java.util.concurrent.atomic.AtomicLong;
import javax.net.ssl.SSLException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Says in the log who was refused and why, in a line each, and not more lines than somebody reads:
 * whoever wants to fill a disk needs no certificate for trying.
 */
public final class Refusals {
  private static final Logger log = LoggerFactory.getLogger(Refusals.class);
  private static final long WINDOW_NANOS = 10_000_000_000L;
  private static final int MOST_IN_WINDOW = 50;
  private static final AtomicLong windowStart = new AtomicLong(System.nanoTime());
  private static final AtomicLong inWindow = new AtomicLong();

  private Refusals() {}

  /** A handshake that failed. */
  public static void handshake(Channel channel, Throwable cause) {
    log("Refused a TLS connection from %s: %s".formatted(channel.remoteAddress(), why(cause)));
  }

  static void log(String line) {
    long now = System.nanoTime();
    long start = windowStart.get();
    if (now - start > WINDOW_NANOS && windowStart.compareAndSet(start, now)) {
      long left = inWindow.getAndSet(0) - MOST_IN_WINDOW;
      if (left > 0) {
        log.warn("{} more were refused within ten seconds", left);
      }
    }
    if (inWindow.incrementAndGet() <= MOST_IN_WINDOW) {
      log.warn(line);
    }
  }

  /** In words, for those who look after certificates. */
  static String why(Throwable error) {
    Throwable root = error;
    for (int depth = 0; depth < 20; depth++) {
      switch (root) {
        case CertificateExpiredException e -> {
          return "its certificate has expired (%s)".formatted(e.getMessage());
        }
        case CertificateNotYetValidException e -> {
          return "its certificate is not valid yet (%s)".formatted(e.getMessage());
        }
        case CertPathBuilderException e -> {
          return "its certificate comes from no authority of --tls-ca";
        }
        case NotSslRecordException e -> {
          return "it speaks no TLS";
        }
        default -> {}
      }
      if (root.getCause() == null) {
        break;
      }
      root = root.getCause();
    }
    String message = String.valueOf(root.getMessage());
    if (message.contains("Empty client certificate chain")
        || message.contains("Empty server certificate chain")) {
      return "it shows no certificate";
    }
    if (message.contains("alert")) {
      return "it refused this side's certificate or broke off (%s)".formatted(message);
    }
    return message;
  }

  /** Stands in a connection's pipeline behind TLS. */
  static final class Handler extends ChannelInboundHandlerAdapter {
    private boolean told;

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) throws Exception {
      Throwable inner = cause instanceof DecoderException ? cause.getCause() : cause;
      if (!told && inner instanceof SSLException) {
        told = true;
        handshake(context.channel(), inner);
      }
      super.exceptionCaught(context, cause);
    }
  }
}
