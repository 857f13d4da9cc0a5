package io.epidote.router.kserve;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.kserve.v2.GRPCInferenceServiceGrpc;
import io.epidote.proto.kserve.v2.ModelInferRequest;
import io.epidote.proto.kserve.v2.ModelInferResponse;
import io.epidote.proto.kserve.v2.ModelMetadataRequest;
import io.epidote.proto.kserve.v2.ModelMetadataResponse;
import io.epidote.proto.kserve.v2.ModelMetadataResponse.TensorMetadata;
import io.epidote.proto.kserve.v2.ModelReadyRequest;
import io.epidote.proto.kserve.v2.ModelReadyResponse;
import io.epidote.proto.kserve.v2.ModelStreamInferResponse;
import io.epidote.proto.kserve.v2.ServerLiveRequest;
import io.epidote.proto.kserve.v2.ServerLiveResponse;
import io.epidote.proto.kserve.v2.ServerMetadataRequest;
import io.epidote.proto.kserve.v2.ServerMetadataResponse;
import io.epidote.proto.kserve.v2.ServerReadyRequest;
import io.epidote.proto.kserve.v2.ServerReadyResponse;
import io.epidote.router.cluster.Cluster;
import io.epidote.router.request.AnswerListener;
import io.epidote.router.request.ByteBudget;
import io.epidote.router.request.GenerationRequest;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.RequestFlow;
import io.epidote.router.request.RequestHeaders;
import io.epidote.router.request.RunningRequest;
import io.epidote.router.request.ServedModel;
import io.epidote.router.rpc.CallHeaders;
import io.epidote.router.rpc.InferenceEndpoint;
import io.epidote.router.rpc.KeyCheck;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** The KServe v2 service. Its calls run on virtual threads, so they may block. Thread-safe. */
public final class KServeEndpoint extends GRPCInferenceServiceGrpc.GRPCInferenceServiceImplBase {
  private final RequestFlow flow;
  private final Cluster cluster;
  private final ByteBudget budget;
  private final String version;

  /**
   * @param budget for the bytes of requests that are being answered
   * @param version of Epidote
   */
  public KServeEndpoint(RequestFlow flow, Cluster cluster, ByteBudget budget, String version) {
    this.flow = flow;
    this.cluster = cluster;
    this.budget = budget;
    this.version = version;
  }

  @Override
  public void serverLive(ServerLiveRequest request, StreamObserver<ServerLiveResponse> response) {
    answer(response, ServerLiveResponse.newBuilder().setLive(true).build());
  }

  @Override
  public void serverReady(
      ServerReadyRequest request, StreamObserver<ServerReadyResponse> response) {
    answer(response, ServerReadyResponse.newBuilder().setReady(cluster.ready()).build());
  }

  @Override
  public void modelReady(ModelReadyRequest request, StreamObserver<ModelReadyResponse> response) {
    boolean ready = cluster.ready() && isServed(request.getName(), request.getVersion());
    answer(response, ModelReadyResponse.newBuilder().setReady(ready).build());
  }

  private boolean isServed(String name, String wantedVersion) {
    String model = flow.model().name();
    boolean known =
        name.equals(model)
            || (name.startsWith(model + GenerationRequest.ADAPTER)
                && cluster.adapters().contains(name.substring(model.length() + 1)));
    return known && isVersion(wantedVersion);
  }

  private static boolean isVersion(String wanted) {
    return wanted.isEmpty() || wanted.equals(InferAnswer.VERSION);
  }

  @Override
  public void serverMetadata(
      ServerMetadataRequest request, StreamObserver<ServerMetadataResponse> response) {
    answer(
        response,
        ServerMetadataResponse.newBuilder().setName("epidote").setVersion(version).build());
  }

  @Override
  public void modelMetadata(
      ModelMetadataRequest request, StreamObserver<ModelMetadataResponse> response) {
    if (!isServed(request.getName(), request.getVersion())) {
      response.onError(
          InferenceEndpoint.toStatus(
              new EpidoteException.NotFound(
                  "The model \"%s\" in version \"%s\" is not served here; this router serves \"%s\" in version %s."
                      .formatted(
                          request.getName(),
                          request.getVersion(),
                          flow.model().name(),
                          InferAnswer.VERSION))));
      return;
    }
    ModelMetadataResponse.Builder model =
        ModelMetadataResponse.newBuilder()
            .setName(request.getName())
            .addVersions(InferAnswer.VERSION)
            .setPlatform("epidote");
    boolean sees = flow.model().inputs().contains(ServedModel.Input.IMAGE);
    for (String name : InferRequestReader.INPUTS) {
      switch (name) {
        case "text_input", "sampling_parameters" -> model.addInputs(tensor(name, "BYTES", 1));
        case "image" -> {
          if (sees) {
            model.addInputs(tensor(name, "BYTES", -1));
          }
        }
        default -> model.addInputs(tensor(name, "BOOL", 1));
      }
    }
    model
        .addOutputs(tensor("text_output", "BYTES", -1))
        .addOutputs(tensor("finish_reason", "BYTES", -1))
        .addOutputs(tensor("cumulative_logprob", "FP32", -1))
        .addOutputs(tensor("logprobs", "BYTES", -1))
        .addOutputs(tensor("num_input_tokens", "UINT32", 1))
        .addOutputs(tensor("num_output_tokens", "UINT32", -1));
    answer(response, model.build());
  }

  private static TensorMetadata tensor(String name, String type, int size) {
    return TensorMetadata.newBuilder().setName(name).setDatatype(type).addShape(size).build();
  }

  @Override
  public void modelInfer(ModelInferRequest request, StreamObserver<ModelInferResponse> responses) {
    ServerCallStreamObserver<ModelInferResponse> client =
        (ServerCallStreamObserver<ModelInferResponse>) responses;
    AtomicReference<@Nullable Runnable> onCancel = new AtomicReference<>();
    client.setOnCancelHandler(() -> {
      Runnable cancel = onCancel.get();
      if (cancel != null) {
        cancel.run();
      }
    });
    InferListener.Sink sink =
        new InferListener.Sink() {
          @Override
          public boolean offer(ModelInferResponse response) {
            throw new IllegalStateException("a whole answer has one response");
          }

          @Override
          public void last(ModelInferResponse response) {
            answer(client, response);
          }

          @Override
          public void failed(EpidoteException error) {
            client.onError(InferenceEndpoint.toStatus(error));
          }
        };
    try {
      Runnable cancel = start(request, sink, false);
      onCancel.set(cancel);
      if (client.isCancelled()) {
        cancel.run();
      }
    } catch (EpidoteException e) {
      sink.failed(e);
    }
  }

  @Override
  public StreamObserver<ModelInferRequest> modelStreamInfer(
      StreamObserver<ModelStreamInferResponse> responses) {
    return new InferStream(
        (ServerCallStreamObserver<ModelStreamInferResponse>) responses,
        (request, sink) -> start(request, sink, true));
  }

  /**
   * @param mayStream whether the call can have several responses
   * @return ends the request when its client is gone
   * @throws EpidoteException when the request is not even queued; then the sink hears nothing
   */
  private Runnable start(ModelInferRequest request, InferListener.Sink sink, boolean mayStream) {
    long arrivalNanos = System.nanoTime();
    int bytes = request.getSerializedSize();
    if (!budget.take(bytes)) {
      throw new EpidoteException.Exhausted(
          "The router holds as many bytes of requests as it can; try again in a second.");
    }
    Held held = new Held(bytes);
    try {
      InferCall call = read(request, mayStream);
      InferAnswer answer = new InferAnswer(call, flow.model());
      AnswerListener listener = new InferListener(answer, call.stream(), sink, held::giveBack);
      RunningRequest running = flow.start(call.request(), arrivalNanos, listener);
      return () -> {
        running.cancel();
        held.giveBack();
      };
    } catch (InvalidField e) {
      held.giveBack();
      throw e.toException();
    } catch (EpidoteException e) {
      held.giveBack();
      throw e;
    }
  }

  /** Bytes of the budget, which are given back once. */
  private final class Held {
    private final int bytes;
    private final AtomicBoolean given = new AtomicBoolean();

    Held(int bytes) {
      this.bytes = bytes;
    }

    void giveBack() {
      if (given.compareAndSet(false, true)) {
        budget.giveBack(bytes);
      }
    }
  }

  private InferCall read(ModelInferRequest request, boolean mayStream) {
    if (!isVersion(request.getModelVersion())) {
      throw new InvalidField(
          "model_version",
          "is \"%s\"; expected %s, or nothing"
              .formatted(request.getModelVersion(), InferAnswer.VERSION));
    }
    RequestHeaders headers = CallHeaders.current();
    String id =
        RequestHeaders.isRequestId(request.getId())
            ? request.getId()
            : headers.requestId().orElseGet(RequestFlow::newId);
    InferCall call = InferRequestReader.read(request, flow.freeId(id), headers);
    if (call.stream() && !mayStream) {
      throw new InvalidField(
          "inputs.stream", "is true, but ModelInfer has one response; call ModelStreamInfer");
    }
    return call.with(flow.addressed(KeyCheck.claimed(call.request())));
  }

  private static <T> void answer(StreamObserver<T> observer, T response) {
    observer.onNext(response);
    observer.onCompleted();
  }
}
