package io.epidote.router.openai;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.fuzz.Fuzz;
import io.epidote.router.TestModel;
import io.epidote.router.access.Caller;
import io.epidote.router.access.HttpLimits;
import io.epidote.router.request.ByteBudget;
import io.epidote.router.request.CacheSalt;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.RequestFlow;
import io.epidote.router.request.Slo;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpServerCodec;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Requests with changed bytes get an answer or none, and leave nothing behind. */
class HttpFuzzTest {
  private static final int MAX_BODY = 64 << 10;
  private static final String CHAT =
      """
      {"model":"m:a","messages":[{"role":"system","content":"s"},{"role":"user","content":[\
      {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}},\
      {"type":"video_url","video_url":{"url":"data:video/jpeg;base64,AAAA,BBBB","fps":2}},\
      {"type":"text","text":"what \\u00e9 is it"}]}],"stream":true,"stream_options":{"include_usage":true},\
      "temperature":0.5,"top_p":0.9,"top_k":3,"seed":7,"stop":["a","b"],"n":2,"max_tokens":8,\
      "logprobs":true,"top_logprobs":2,"timeline":true}\
      """;

  private final ByteBudget budget = new ByteBudget(1 << 20);
  private final Connections all = new Connections(HttpLimits.DEFAULT, new SimpleMeterRegistry());

  private static byte[] http(String head, String body) {
    return (head + "\r\n\r\n" + body).getBytes(StandardCharsets.UTF_8);
  }

  @Test
  void changedBytesOfConnectionsAreAnsweredOrRefused() throws Exception {
    List<byte[]> corpus =
        List.of(
            http("GET /v1/models HTTP/1.1\r\nHost: x", ""),
            http(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: "
                    + CHAT.getBytes(StandardCharsets.UTF_8).length,
                CHAT),
            http(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked",
                "5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.0\r\n\r\n"));
    long count =
        new Fuzz("http", corpus, 2000, 64 << 20)
            .run(input -> {
              EmbeddedChannel channel = new EmbeddedChannel();
              Pace pace = new Pace();
              channel
                  .pipeline()
                  .addLast(pace)
                  .addLast(
                      new HttpServerCodec(
                          new HttpDecoderConfig()
                              .setMaxHeaderSize(32 << 10)
                              .setMaxChunkSize(256 << 10)))
                  .addLast(
                      new HttpConnection(
                          MAX_BODY, budget, _ -> Caller.ANYBODY, HttpFuzzTest::answer, pace, all));
              // In two parts, as networks have it.
              int half = input.length / 2;
              channel.writeInbound(Unpooled.copiedBuffer(input, 0, half));
              if (channel.isOpen()) {
                channel.writeInbound(Unpooled.copiedBuffer(input, half, input.length - half));
              }
              channel.runPendingTasks();
              channel.finishAndReleaseAll();
              assertThat(budget.used()).isZero();
              return true;
            });
    assertThat(count).isPositive();
  }

  private static void answer(Exchange exchange) {
    try (var body = exchange.takeBody()) {
      assertThat(exchange.said().cacheSalt()).isNotNull();
      assertThat(exchange.said().slo()).isNotNull();
      exchange.tenant();
      exchange.respond(HttpResponseStatus.OK, "text/plain", body.readAllBytes());
    } catch (InvalidField e) {
      exchange.respond(HttpError.field(e));
    } catch (java.io.IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  @Test
  void changedBodiesAreReadOrRefused() throws Exception {
    JsonBodies bodies = new JsonBodies(MAX_BODY);
    ChatRequestReader reader = new ChatRequestReader(new TestModel());
    long count =
        new Fuzz("chat", List.of(CHAT.getBytes(StandardCharsets.UTF_8)), 2000, 64 << 20)
            .run(input -> {
              try {
                reader.read(
                    bodies.parse(new ByteArrayInputStream(input)),
                    new CallHead(RequestFlow.newId(), CacheSalt.NONE, Slo.NONE, ""));
                return true;
              } catch (InvalidField | EpidoteException e) {
                return e instanceof InvalidField || e instanceof EpidoteException.Internal
                    ? failing(e)
                    : false;
              }
            });
    assertThat(count).isPositive();
  }

  /** What is refused by a field is worth to be changed further; a defect is a defect. */
  private static boolean failing(RuntimeException e) {
    if (e instanceof EpidoteException.Internal) {
      throw e;
    }
    return true;
  }
}
