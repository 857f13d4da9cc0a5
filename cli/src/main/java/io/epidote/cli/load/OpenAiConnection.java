package io.epidote.cli.load;

import io.epidote.cli.load.Answer.Failure;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.ReferenceCountUtil;
import io.netty.util.concurrent.ScheduledFuture;
import java.nio.charset.StandardCharsets;
import java.util.Deque;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** One connection, with one answer at a time. Used by its event loop only. */
final class OpenAiConnection extends ChannelInboundHandlerAdapter {
  private static final int SHOWN = 500;

  private final long idleNanos;
  private final Deque<Channel> idle;
  private @Nullable Answer answer;
  private @Nullable SseReader reader;
  private @Nullable Runnable retry;
  private @Nullable ScheduledFuture<?> watch;
  private final StringBuilder refusal = new StringBuilder();
  private int status;
  private boolean keepAlive;
  private long heard;

  /**
   * @param idleNanos how long nothing may come
   * @param idle takes the connection back when an answer has ended
   */
  OpenAiConnection(long idleNanos, Deque<Channel> idle) {
    this.idleNanos = idleNanos;
    this.idle = idle;
  }

  /**
   * Sends a request.
   *
   * @param again what to do when the connection ends before anything came; null: the answer fails
   */
  void begin(Channel channel, FullHttpRequest request, Answer next, @Nullable Runnable again) {
    answer = next;
    retry = again;
    reader = new SseReader(next);
    refusal.setLength(0);
    status = 0;
    heard = System.nanoTime();
    next.sent();
    channel.writeAndFlush(request, channel.voidPromise());
    watch =
        channel
            .eventLoop()
            .scheduleAtFixedRate(
                () -> checkIdle(channel), idleNanos, idleNanos / 4, TimeUnit.NANOSECONDS);
  }

  private void checkIdle(Channel channel) {
    if (answer != null && System.nanoTime() - heard >= idleNanos) {
      Answer late = answer;
      finish();
      channel.close();
      late.fail(
          Failure.TIMEOUT,
          "Nothing came for %d s; the server is stuck or overloaded, or needs a longer --timeout."
              .formatted(TimeUnit.NANOSECONDS.toSeconds(idleNanos)));
    }
  }

  @Override
  public void channelRead(ChannelHandlerContext ctx, Object message) {
    try {
      if (answer != null) {
        heard = System.nanoTime();
        retry = null;
        read(ctx, message, answer);
      }
    } finally {
      ReferenceCountUtil.release(message);
    }
  }

  private void read(ChannelHandlerContext ctx, Object message, Answer current) {
    if (message instanceof HttpResponse response) {
      status = response.status().code();
      keepAlive = HttpUtil.isKeepAlive(response);
    }
    if (message instanceof HttpContent content && reader != null) {
      if (status == 200) {
        reader.take(content.content());
      } else if (refusal.length() < SHOWN) {
        refusal.append(content.content().toString(StandardCharsets.UTF_8));
      }
      if (message instanceof LastHttpContent) {
        SseReader complete = reader;
        boolean broken = content.decoderResult().isFailure();
        finish();
        // The answer's end may send the next request, which is to find this connection.
        if (keepAlive && !broken) {
          idle.addLast(ctx.channel());
        } else {
          ctx.close();
        }
        if (status == 200) {
          complete.end();
        } else {
          current.fail(kind(status), refused());
        }
      }
    }
  }

  private static Failure kind(int status) {
    if (status == 429) {
      return Failure.BUSY;
    }
    return status >= 500 ? Failure.SERVER : Failure.REFUSED;
  }

  private String refused() {
    String what = refusal.substring(0, Math.min(SHOWN, refusal.length())).strip();
    String todo =
        switch (status) {
          case 401, 403 -> "Give the server's key in the variable OPENAI_API_KEY.";
          case 404 -> "Is --api right, and does --model name what is served?";
          case 429 -> "Ask at a lower rate, or let the server take more at a time.";
          case 503 -> "The server is not ready, or a part of it is missing.";
          default -> status >= 500 ? "See the server's log." : "Ask for what the server takes.";
        };
    return "The server answered %d: %s %s".formatted(status, what, todo);
  }

  private void finish() {
    answer = null;
    reader = null;
    retry = null;
    if (watch != null) {
      watch.cancel(false);
      watch = null;
    }
  }

  @Override
  public void channelInactive(ChannelHandlerContext ctx) {
    Answer cut = answer;
    Runnable again = retry;
    finish();
    idle.remove(ctx.channel());
    if (cut != null && again != null) {
      again.run();
    } else if (cut != null) {
      cut.fail(
          Failure.CUT,
          "The connection ended before the answer did; see the server's log for why it broke off.");
    }
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
    Answer broken = answer;
    if (broken != null && retry == null) {
      finish();
      broken.fail(Failure.CUT, "The connection broke: %s".formatted(cause));
    }
    ctx.close();
  }
}
