package io.epidote.router.openai;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.router.request.AnswerListener.Finish;
import io.epidote.router.request.AnswerListener.Piece;
import java.util.List;

/** The JSON objects of one call's answers, streamed or not. For one thread at a time. */
interface AnswerJson {
  /**
   * A chunk with new text, as a server-sent event.
   *
   * @param first of its choice
   */
  byte[] deltaEvent(Piece chunk, boolean first);

  /** The chunk that says why an answer ended. */
  ObjectNode finish(Finish finish);

  /** The last chunk, of a client that asked for it. */
  ObjectNode usageChunk(List<Finish> finishes);

  /** All answers at once; {@code answers} holds text and tokens of each choice. */
  ObjectNode whole(List<Piece> answers, List<Finish> finishes);
}
