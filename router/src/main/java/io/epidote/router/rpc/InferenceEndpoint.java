package io.epidote.router.rpc;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.ResidentMemory;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.v1.AbortRequest;
import io.epidote.proto.v1.AbortResponse;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.GenerateResponse;
import io.epidote.proto.v1.GetLoadRequest;
import io.epidote.proto.v1.GetLoadResponse;
import io.epidote.proto.v1.GetModelRequest;
import io.epidote.proto.v1.GetModelResponse;
import io.epidote.proto.v1.InferenceGrpc;
import io.epidote.router.cluster.RegistryEndpoint;
import io.epidote.router.request.ByteBudget;
import io.epidote.router.request.GenerationRequest;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.RequestFlow;
import io.epidote.router.request.RunningRequest;
import io.epidote.router.request.ServedModel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.Locale;

/** The public gRPC service. Its calls run on virtual threads, so they may block. Thread-safe. */
public final class InferenceEndpoint extends InferenceGrpc.InferenceImplBase {
  private static final Duration FRESH = Duration.ofSeconds(2);
  private static final Metadata.Key<String> RETRY_AFTER =
      Metadata.Key.of("retry-after", Metadata.ASCII_STRING_MARSHALLER);

  private final RequestFlow flow;
  private final RegistryEndpoint registry;
  private final ByteBudget budget;

  /**
   * @param budget for the bytes of requests that are being answered
   */
  public InferenceEndpoint(RequestFlow flow, RegistryEndpoint registry, ByteBudget budget) {
    this.flow = flow;
    this.registry = registry;
    this.budget = budget;
  }

  @Override
  public void generate(GenerateRequest request, StreamObserver<GenerateResponse> responses) {
    long arrivalNanos = System.nanoTime();
    ServerCallStreamObserver<GenerateResponse> client =
        (ServerCallStreamObserver<GenerateResponse>) responses;
    int bytes = request.getSerializedSize();
    if (!budget.take(bytes)) {
      client.onError(
          toStatus(
              new EpidoteException.Exhausted(
                  "The router holds as many bytes of requests as it can; try again after the retry-after trailer.")));
      return;
    }
    GeneratedAnswer answer =
        new GeneratedAnswer(client, flow.model(), () -> budget.giveBack(bytes));
    client.setOnReadyHandler(answer::writable);
    client.setOnCancelHandler(answer::cancelled);
    try {
      GenerationRequest addressed =
          flow.addressed(KeyCheck.claimed(GenerateRequestReader.read(request)));
      answer.shows(addressed.shownModel(flow.model().name()));
      RunningRequest running = flow.start(addressed, arrivalNanos, answer);
      answer.onCancel(running::cancel);
    } catch (InvalidField e) {
      answer.failed(e.toException());
    } catch (EpidoteException e) {
      answer.failed(e);
    }
  }

  @Override
  public void abort(AbortRequest request, StreamObserver<AbortResponse> response) {
    boolean found = flow.abort(request.getRequestId(), KeyCheck.caller());
    answer(response, AbortResponse.newBuilder().setFound(found).build());
  }

  @Override
  public void getModel(GetModelRequest request, StreamObserver<GetModelResponse> response) {
    ServedModel model = flow.model();
    answer(
        response,
        GetModelResponse.newBuilder()
            .setName(model.name())
            .setFingerprint(model.fingerprint())
            .setContextTokens(model.contextTokens())
            .setMediaTokensPerTile(model.mediaTokensPerTile())
            .setVocabulary(model.vocabulary())
            .addAllInputs(
                model.inputs().stream()
                    .map(input -> input.name().toLowerCase(Locale.ROOT))
                    .toList())
            .build());
  }

  @Override
  public void getLoad(GetLoadRequest request, StreamObserver<GetLoadResponse> response) {
    answer(
        response,
        GetLoadResponse.newBuilder()
            .addAllNodes(request.getFresh() ? registry.freshLoad(FRESH) : registry.latestLoad())
            .setRequestsInFlight(flow.inFlight())
            .setResidentBytes(ResidentMemory.bytes())
            .build());
  }

  private static <T> void answer(StreamObserver<T> observer, T response) {
    observer.onNext(response);
    observer.onCompleted();
  }

  /** As the node module maps errors; whoever may try again is told when. */
  public static StatusRuntimeException toStatus(EpidoteException error) {
    StatusRuntimeException mapped = GrpcErrors.toStatus(error);
    if (!(error instanceof EpidoteException.Exhausted exhausted)) {
      return mapped;
    }
    Metadata trailers = new Metadata();
    Metadata given = mapped.getTrailers();
    if (given != null) {
      trailers.merge(given);
    }
    trailers.put(RETRY_AFTER, Long.toString(exhausted.retryAfterSeconds()));
    return mapped.getStatus().asRuntimeException(trailers);
  }
}
