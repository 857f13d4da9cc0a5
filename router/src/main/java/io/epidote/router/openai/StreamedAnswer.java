package io.epidote.router.openai;

import io.epidote.engine.error.EpidoteException;
import io.epidote.router.request.AnswerListener;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/**
 * A call's answers as server-sent events. The response starts with the first token, so that what
 * goes wrong before it has an HTTP status of its own; later errors are an event, then the end.
 */
final class StreamedAnswer implements AnswerListener {
  private static final byte[] DONE = "data: [DONE]\n\n".getBytes(StandardCharsets.US_ASCII);

  private final Exchange exchange;
  private final ApiCall call;
  private final AnswerJson json;
  private final List<Finish> finishes = new ArrayList<>();
  private final BitSet begun = new BitSet();
  private boolean started;

  StreamedAnswer(Exchange exchange, ApiCall call, AnswerJson json) {
    this.exchange = exchange;
    this.call = call;
    this.json = json;
  }

  @Override
  public void started(String requestId, int promptTokens, int mediaTokens) {}

  @Override
  public boolean chunk(Piece chunk) {
    boolean first = !begun.get(chunk.choice());
    // Text that a stop string holds back is not worth an event of its own, a first token is.
    if (!first && chunk.text().isEmpty() && !call.logprobs()) {
      return true;
    }
    begun.set(chunk.choice());
    start();
    return exchange.streamPart(json.deltaEvent(chunk, first));
  }

  @Override
  public void finished(Finish finish) {
    finishes.add(finish);
    start();
    exchange.streamFinal(AnswerParts.event(json.finish(finish)));
  }

  @Override
  public void ended() {
    start();
    byte[] usage = call.includeUsage() ? AnswerParts.event(json.usageChunk(finishes)) : new byte[0];
    byte[] last = new byte[usage.length + DONE.length];
    System.arraycopy(usage, 0, last, 0, usage.length);
    System.arraycopy(DONE, 0, last, usage.length, DONE.length);
    exchange.endStream(last);
  }

  @Override
  public void failed(EpidoteException error) {
    HttpError told = HttpError.of(error);
    if (started) {
      exchange.closeAfter();
      exchange.endStream(AnswerParts.event(told.json()));
    } else {
      exchange.respond(told);
    }
  }

  private void start() {
    if (!started) {
      started = true;
      exchange.startStream("text/event-stream; charset=utf-8");
    }
  }
}
