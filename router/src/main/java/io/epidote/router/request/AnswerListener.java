package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.Timeline;
import io.epidote.proto.v1.Usage;
import java.util.List;

/**
 * A front door's side of a request. Calls come one at a time and must not block: {@code started},
 * then for each choice any number of {@code chunk} and one {@code finished}, then {@code ended}; or
 * {@code failed} at any point, after which nothing comes. A cancelled request calls nothing more.
 */
public interface AnswerListener {
  /**
   * The prompt is placed and the stages are at work.
   *
   * @param mediaTokens tokens of the prompt that stand for media
   */
  void started(String requestId, int promptTokens, int mediaTokens);

  /**
   * @return false when the client reads too slowly for more to be kept; the request then fails
   */
  boolean chunk(Piece piece);

  /** One of the answers is complete. */
  void finished(Finish finish);

  /** All answers are complete. */
  void ended();

  /** The request failed, whatever was sent before. */
  void failed(EpidoteException error);

  /**
   * New tokens of an answer.
   *
   * @param text may be empty while a stop string could still match
   */
  record Piece(int choice, String text, List<SampledToken> tokens) {}

  record Finish(int choice, FinishReason reason, Usage usage, Timeline timeline) {}
}
