package io.epidote.router.openai;

import io.epidote.engine.error.EpidoteException;
import io.epidote.router.request.AnswerListener;
import io.epidote.router.request.RunningRequest;
import java.util.ArrayList;
import java.util.List;

/**
 * The requests of a call with several prompts, which answer one client: their choices are numbered
 * through, and the first failure ends them all. Thread-safe: each request tells in a turn of its
 * own.
 */
final class SeveralPrompts {
  private final AnswerListener client;
  private final int choices;
  private final List<RunningRequest> requests = new ArrayList<>();
  private int unended;
  private boolean over;

  /**
   * @param prompts of the call
   * @param choices of each prompt
   */
  SeveralPrompts(AnswerListener client, int prompts, int choices) {
    this.client = client;
    this.choices = choices;
    this.unended = prompts;
  }

  /** Takes a request that was started; one that comes after a failure is cancelled at once. */
  void add(RunningRequest request) {
    synchronized (this) {
      requests.add(request);
      if (!over) {
        return;
      }
    }
    request.cancel();
  }

  /** The client has gone, or a request could not be started: nobody is told anything more. */
  void cancel() {
    List<RunningRequest> running;
    synchronized (this) {
      over = true;
      running = List.copyOf(requests);
    }
    running.forEach(RunningRequest::cancel);
  }

  /** What the request of a prompt tells. */
  AnswerListener listener(int prompt) {
    int before = prompt * choices;
    return new AnswerListener() {
      @Override
      public void started(String requestId, int promptTokens, int mediaTokens) {}

      @Override
      public boolean chunk(Piece piece) {
        synchronized (SeveralPrompts.this) {
          return over
              || client.chunk(new Piece(before + piece.choice(), piece.text(), piece.tokens()));
        }
      }

      @Override
      public void finished(Finish finish) {
        synchronized (SeveralPrompts.this) {
          if (!over) {
            client.finished(
                new Finish(
                    before + finish.choice(), finish.reason(), finish.usage(), finish.timeline()));
          }
        }
      }

      @Override
      public void ended() {
        synchronized (SeveralPrompts.this) {
          unended--;
          if (unended == 0 && !over) {
            client.ended();
          }
        }
      }

      @Override
      public void failed(EpidoteException error) {
        synchronized (SeveralPrompts.this) {
          if (over) {
            return;
          }
          client.failed(error);
        }
        cancel();
      }
    };
  }
}
