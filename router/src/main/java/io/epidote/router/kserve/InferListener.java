package io.epidote.router.kserve;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.kserve.v2.ModelInferResponse;
import io.epidote.router.request.AnswerListener;

/** A request's answers as responses: one for each piece, or one at the end. */
final class InferListener implements AnswerListener {
  /** Where responses go; none of it blocks. */
  interface Sink {
    /** Returns false when the client reads too slowly for more to be kept. */
    boolean offer(ModelInferResponse response);

    /** The last response, which is taken however much waits. */
    void last(ModelInferResponse response);

    void failed(EpidoteException error);
  }

  private final InferAnswer answer;
  private final boolean stream;
  private final Sink sink;
  private final Runnable onEnd;

  /**
   * @param onEnd runs when the request ends, unless it is cancelled
   */
  InferListener(InferAnswer answer, boolean stream, Sink sink, Runnable onEnd) {
    this.answer = answer;
    this.stream = stream;
    this.sink = sink;
    this.onEnd = onEnd;
  }

  @Override
  public void started(String requestId, int promptTokens, int mediaTokens) {
    answer.started(promptTokens);
  }

  @Override
  public boolean chunk(Piece piece) {
    answer.add(piece);
    // What a stop string holds back goes with the next text.
    return !stream || piece.text().isEmpty() || sink.offer(answer.take(false));
  }

  @Override
  public void finished(Finish finish) {
    answer.add(finish);
  }

  @Override
  public void ended() {
    onEnd.run();
    sink.last(answer.take(true));
  }

  @Override
  public void failed(EpidoteException error) {
    onEnd.run();
    sink.failed(error);
  }
}
