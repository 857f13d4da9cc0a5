package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.router.access.TenantRates;

/** Counts the tokens of a prompt and its answers for its tenant as they are used. */
record CountedAnswer(AnswerListener listener, TenantRates.Use use) implements AnswerListener {
  @Override
  public void started(String requestId, int promptTokens, int mediaTokens) {
    use.tokens(promptTokens);
    listener.started(requestId, promptTokens, mediaTokens);
  }

  @Override
  public boolean chunk(Piece piece) {
    use.tokens(piece.tokens().size());
    return listener.chunk(piece);
  }

  @Override
  public void finished(Finish finish) {
    listener.finished(finish);
  }

  @Override
  public void ended() {
    listener.ended();
  }

  @Override
  public void failed(EpidoteException error) {
    listener.failed(error);
  }
}
