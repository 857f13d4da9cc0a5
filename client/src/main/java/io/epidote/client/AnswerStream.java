package io.epidote.client;

import io.epidote.proto.v1.Chunk;
import io.epidote.proto.v1.Finished;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.GenerateResponse;
import io.epidote.proto.v1.InferenceGrpc.InferenceBlockingStub;
import io.epidote.proto.v1.OutputToken;
import io.epidote.proto.v1.Started;
import io.grpc.Context;
import io.grpc.StatusRuntimeException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * An answer's text as it comes. For one thread, but {@link #close} may be called by any: it cancels
 * what is not complete, and frees what the cluster holds for it.
 */
public final class AnswerStream implements Iterator<String>, AutoCloseable {
  private final String address;
  private final Context.CancellableContext context = Context.current().withCancellation();
  private final Iterator<GenerateResponse> events;
  private final StringBuilder text = new StringBuilder();
  private final List<OutputToken> tokens = new ArrayList<>();
  private Started started = Started.getDefaultInstance();
  private @Nullable String next;
  private @Nullable Finished finished;

  AnswerStream(InferenceBlockingStub stub, GenerateRequest request, String address) {
    this.address = address;
    this.events = within(() -> stub.generate(request));
  }

  /**
   * Waits for more text.
   *
   * @throws RequestFailed when the answer is lost
   */
  @Override
  public boolean hasNext() {
    while (next == null && finished == null && within(events::hasNext)) {
      GenerateResponse event = within(events::next);
      switch (event.getEventCase()) {
        case STARTED -> started = event.getStarted();
        case CHUNK -> take(event.getChunk());
        case FINISHED -> finished = event.getFinished();
        case EVENT_NOT_SET -> {}
      }
    }
    return next != null;
  }

  private void take(Chunk chunk) {
    tokens.addAll(chunk.getTokensList());
    if (!chunk.getText().isEmpty()) {
      next = chunk.getText();
      text.append(next);
    }
  }

  /**
   * The next piece of text, never empty.
   *
   * @throws RequestFailed when the answer is lost
   */
  @Override
  public String next() {
    if (!hasNext() || next == null) {
      throw new NoSuchElementException("the answer is complete");
    }
    String piece = next;
    next = null;
    return piece;
  }

  /**
   * The whole answer, once its last piece has come; waits for that.
   *
   * @throws RequestFailed when the answer is lost
   */
  public Answer answer() {
    while (hasNext()) {
      var unused = next();
    }
    Finished end = finished;
    if (end == null) {
      throw new IllegalStateException("the server ended the answer without finishing it");
    }
    return new Answer(
        started.getRequestId(),
        started.getModel(),
        text.toString(),
        tokens,
        end.getReason(),
        end.getUsage(),
        end.getTimeline());
  }

  private <T> T within(Supplier<T> call) {
    Context before = context.attach();
    try {
      return call.get();
    } catch (StatusRuntimeException e) {
      throw RequestFailed.of(e, address);
    } finally {
      context.detach(before);
    }
  }

  @Override
  public void close() {
    context.cancel(null);
  }
}
