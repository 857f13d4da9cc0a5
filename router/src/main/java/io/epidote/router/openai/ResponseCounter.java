package io.epidote.router.openai;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.netty.channel.ChannelHandler.Sharable;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Counts HTTP responses by their status, whoever gave them. One for all connections. */
@Sharable
final class ResponseCounter extends ChannelOutboundHandlerAdapter {
  /** Those that are watched for are there before the first of them. */
  private static final List<Integer> USUAL = List.of(200, 400, 429, 500, 503);

  private final Map<Integer, Counter> byStatus = new ConcurrentHashMap<>();
  private final MeterRegistry meters;

  ResponseCounter(MeterRegistry meters) {
    this.meters = meters;
    USUAL.forEach(this::counter);
  }

  @Override
  public void write(ChannelHandlerContext ctx, Object message, ChannelPromise promise)
      throws Exception {
    if (message instanceof HttpResponse response
        && !response.status().equals(HttpResponseStatus.CONTINUE)) {
      counter(response.status().code()).increment();
    }
    super.write(ctx, message, promise);
  }

  private Counter counter(int status) {
    return byStatus.computeIfAbsent(
        status,
        code ->
            Counter.builder("epidote_http_responses")
                .description("HTTP responses of the router by status")
                .tag("code", Integer.toString(code))
                .register(meters));
  }
}
