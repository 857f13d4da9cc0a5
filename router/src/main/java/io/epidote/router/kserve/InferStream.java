package io.epidote.router.kserve;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.kserve.v2.ModelInferRequest;
import io.epidote.proto.kserve.v2.ModelInferResponse;
import io.epidote.proto.kserve.v2.ModelStreamInferResponse;
import io.epidote.router.request.GrpcOutbox;
import io.epidote.router.request.Outbox;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * A client's stream of requests and the responses to all of them, written no faster than it reads.
 * A request that fails is told by a message; the stream goes on, and ends when the client has sent
 * its last request and the last answer is complete. Thread-safe.
 */
final class InferStream implements StreamObserver<ModelInferRequest> {
  /** Starts a request whose answer goes to a sink. */
  interface Starter {
    /**
     * @return ends the request when its client is gone
     * @throws EpidoteException when it is not even queued; then the sink hears nothing
     */
    Runnable start(ModelInferRequest request, InferListener.Sink sink);
  }

  private final Starter starter;
  private final Outbox<Consumer<StreamObserver<ModelStreamInferResponse>>> outbox;

  // Guarded by this:
  private final Map<Answer, Runnable> running = new HashMap<>();
  private int open = 1;
  private boolean gone;

  InferStream(ServerCallStreamObserver<ModelStreamInferResponse> client, Starter starter) {
    this.starter = starter;
    this.outbox = GrpcOutbox.to(client);
    client.setOnReadyHandler(outbox::drain);
    client.setOnCancelHandler(this::cancelled);
  }

  @Override
  public void onNext(ModelInferRequest request) {
    Answer answer = new Answer(request);
    synchronized (this) {
      open++;
    }
    Runnable cancel;
    try {
      cancel = starter.start(request, answer);
    } catch (EpidoteException e) {
      answer.failed(e);
      return;
    }
    synchronized (this) {
      if (!gone) {
        if (!answer.over) {
          running.put(answer, cancel);
        }
        return;
      }
    }
    cancel.run();
  }

  @Override
  public void onError(Throwable error) {
    cancelled();
  }

  @Override
  public void onCompleted() {
    endOne();
  }

  private void cancelled() {
    List<Runnable> requests;
    synchronized (this) {
      gone = true;
      requests = List.copyOf(running.values());
      running.clear();
    }
    requests.forEach(Runnable::run);
  }

  /** The client's side, or a request, is over. */
  private void endOne() {
    synchronized (this) {
      open--;
      if (open > 0) {
        return;
      }
    }
    outbox.put(StreamObserver::onCompleted, 0);
  }

  private final class Answer implements InferListener.Sink {
    private final ModelInferRequest request;

    /** Guarded by the stream. */
    private boolean over;

    Answer(ModelInferRequest request) {
      // Its pictures are not needed again.
      this.request =
          ModelInferRequest.newBuilder()
              .setId(request.getId())
              .setModelName(request.getModelName())
              .build();
    }

    @Override
    public boolean offer(ModelInferResponse response) {
      ModelStreamInferResponse message = message(response);
      return outbox.offer(client -> client.onNext(message), message.getSerializedSize());
    }

    @Override
    public void last(ModelInferResponse response) {
      end(message(response));
    }

    @Override
    public void failed(EpidoteException error) {
      end(
          ModelStreamInferResponse.newBuilder()
              .setErrorMessage(String.valueOf(error.getMessage()))
              .setInferResponse(
                  ModelInferResponse.newBuilder()
                      .setId(request.getId())
                      .setModelName(request.getModelName()))
              .build());
    }

    private void end(ModelStreamInferResponse message) {
      synchronized (InferStream.this) {
        over = true;
        running.remove(this);
      }
      outbox.put(client -> client.onNext(message), message.getSerializedSize());
      endOne();
    }

    private static ModelStreamInferResponse message(ModelInferResponse response) {
      return ModelStreamInferResponse.newBuilder().setInferResponse(response).build();
    }
  }
}
