package io.epidote.router.openai;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.router.request.AnswerListener;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/** A call's answers as one response. What it collects is bounded by the context. */
final class WholeAnswer implements AnswerListener {
  private record Collected(StringBuilder text, List<SampledToken> tokens) {}

  private final Exchange exchange;
  private final ApiCall call;
  private final AnswerJson json;
  private final List<Collected> answers;
  private final List<Finish> finishes = new ArrayList<>();

  WholeAnswer(Exchange exchange, ApiCall call, AnswerJson json) {
    this.exchange = exchange;
    this.call = call;
    this.json = json;
    this.answers =
        IntStream.range(0, call.choices())
            .mapToObj(choice -> new Collected(new StringBuilder(), new ArrayList<>()))
            .toList();
  }

  @Override
  public void started(String requestId, int promptTokens, int mediaTokens) {}

  @Override
  public boolean chunk(Piece chunk) {
    Collected answer = answers.get(chunk.choice());
    answer.text().append(chunk.text());
    if (call.logprobs()) {
      answer.tokens().addAll(chunk.tokens());
    }
    return true;
  }

  @Override
  public void finished(Finish finish) {
    finishes.add(finish);
  }

  @Override
  public void ended() {
    finishes.sort(Comparator.comparingInt(Finish::choice));
    List<Piece> whole =
        IntStream.range(0, answers.size())
            .mapToObj(i -> new Piece(i, answers.get(i).text().toString(), answers.get(i).tokens()))
            .toList();
    exchange.respond(
        HttpResponseStatus.OK,
        HttpHeaderValues.APPLICATION_JSON,
        json.whole(whole, finishes).toString().getBytes(StandardCharsets.UTF_8));
  }

  @Override
  public void failed(EpidoteException error) {
    exchange.respond(HttpError.of(error));
  }
}
