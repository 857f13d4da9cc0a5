package io.epidote.router.rpc;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.stage.v1.CandidateToken;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.proto.v1.Chunk;
import io.epidote.proto.v1.Finished;
import io.epidote.proto.v1.GenerateResponse;
import io.epidote.proto.v1.OutputToken;
import io.epidote.proto.v1.Started;
import io.epidote.proto.v1.TokenLogprob;
import io.epidote.router.request.AnswerListener;
import io.epidote.router.request.GrpcOutbox;
import io.epidote.router.request.Outbox;
import io.epidote.router.request.ServedModel;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** A Generate call's responses, written no faster than the client reads. */
final class GeneratedAnswer implements AnswerListener {
  private static final Runnable GONE = () -> {};

  private final ServedModel model;
  private volatile String shownModel;
  private final Outbox<Consumer<StreamObserver<GenerateResponse>>> outbox;
  private final AtomicBoolean over = new AtomicBoolean();
  private final Runnable onEnd;
  private final AtomicReference<@Nullable Runnable> onCancel = new AtomicReference<>();

  /**
   * @param onEnd runs once when nothing more is written
   */
  GeneratedAnswer(
      ServerCallStreamObserver<GenerateResponse> client, ServedModel model, Runnable onEnd) {
    this.model = model;
    this.shownModel = model.name();
    this.onEnd = onEnd;
    this.outbox = GrpcOutbox.to(client);
  }

  /** What it says of its model, with that of an adapter: before the request starts. */
  void shows(String name) {
    shownModel = name;
  }

  void writable() {
    outbox.drain();
  }

  /** The client has gone, or its deadline has passed. */
  void cancelled() {
    end();
    Runnable action = onCancel.getAndSet(GONE);
    if (action != null) {
      action.run();
    }
  }

  /** Runs {@code action} when the client goes, or has gone. */
  void onCancel(Runnable action) {
    if (!onCancel.compareAndSet(null, action)) {
      action.run();
    }
  }

  @Override
  public void started(String requestId, int promptTokens, int mediaTokens) {
    GenerateResponse response =
        GenerateResponse.newBuilder()
            .setStarted(
                Started.newBuilder()
                    .setRequestId(requestId)
                    .setModel(shownModel)
                    .setPromptTokens(promptTokens)
                    .setMediaTokens(mediaTokens))
            .build();
    outbox.put(stream -> stream.onNext(response), response.getSerializedSize());
  }

  @Override
  public boolean chunk(AnswerListener.Piece chunk) {
    Chunk.Builder message = Chunk.newBuilder().setText(chunk.text()).setChoice(chunk.choice());
    for (SampledToken token : chunk.tokens()) {
      message.addTokens(output(token));
    }
    GenerateResponse response = GenerateResponse.newBuilder().setChunk(message).build();
    return outbox.offer(stream -> stream.onNext(response), response.getSerializedSize());
  }

  private OutputToken output(SampledToken token) {
    OutputToken.Builder output = OutputToken.newBuilder().setTokenId(token.getTokenId());
    if (token.hasLogprob()) {
      output.setLogprob(token.getLogprob());
    }
    for (CandidateToken candidate : token.getCandidatesList()) {
      output.addTopLogprobs(
          TokenLogprob.newBuilder()
              .setTokenId(candidate.getTokenId())
              .setText(model.tokenText(candidate.getTokenId()))
              .setLogprob(candidate.getLogprob()));
    }
    return output.build();
  }

  @Override
  public void finished(Finish finish) {
    GenerateResponse response =
        GenerateResponse.newBuilder()
            .setFinished(
                Finished.newBuilder()
                    .setChoice(finish.choice())
                    .setReason(finish.reason())
                    .setUsage(finish.usage())
                    .setTimeline(finish.timeline()))
            .build();
    outbox.put(stream -> stream.onNext(response), response.getSerializedSize());
  }

  @Override
  public void ended() {
    end();
    outbox.put(StreamObserver::onCompleted, 0);
  }

  @Override
  public void failed(EpidoteException error) {
    end();
    outbox.put(stream -> stream.onError(InferenceEndpoint.toStatus(error)), 0);
  }

  private void end() {
    if (over.compareAndSet(false, true)) {
      onEnd.run();
    }
  }
}
