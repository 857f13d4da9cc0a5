package io.epidote.cli.load;

import com.google.protobuf.ByteString;
import io.epidote.cli.load.Answer.Failure;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.proto.v1.Chat;
import io.epidote.proto.v1.ChatMessage;
import io.epidote.proto.v1.ContentPart;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.GenerateResponse;
import io.epidote.proto.v1.InferenceGrpc;
import io.epidote.proto.v1.Media;
import io.epidote.proto.v1.SamplingParams;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** Epidote's own contract, {@code epidote.v1.Inference}, at a router's gRPC port. */
public final class GrpcTarget implements LoadTarget {
  private final String address;
  private final String model;
  private final Duration timeout;
  private final ManagedChannel channel;
  private final InferenceGrpc.InferenceStub stub;

  /**
   * @param address host:port
   * @param model to name, empty for the router's own
   * @param timeout of a whole answer
   */
  GrpcTarget(String address, String model, Access access, Duration timeout) {
    this.address = address;
    this.model = model;
    this.timeout = timeout;
    this.channel = access.channel(address).directExecutor().build();
    this.stub = InferenceGrpc.newStub(channel);
  }

  @Override
  public String address() {
    return address;
  }

  @Override
  public Prepared prepare(LoadRequest request) {
    if (request.body() != null) {
      throw new InvalidRequest(
          "The workload has bodies of HTTP requests, which cannot be sent over gRPC; leave --grpc out");
    }
    ChatMessage.Builder message = ChatMessage.newBuilder().setRole("user");
    for (byte[] picture : request.pictures()) {
      message.addContent(
          ContentPart.newBuilder()
              .setMedia(Media.newBuilder().setData(ByteString.copyFrom(picture))));
    }
    SamplingParams.Builder sampling = SamplingParams.newBuilder().setTemperature(0);
    if (request.outputTokens() > 0) {
      sampling.setMaxTokens(request.outputTokens()).setIgnoreEos(true);
    }
    GenerateRequest call =
        GenerateRequest.newBuilder()
            .setModel(model)
            .setChat(
                Chat.newBuilder()
                    .addMessages(
                        message.addContent(ContentPart.newBuilder().setText(request.text()))))
            .setSampling(sampling)
            .build();
    return answer -> {
      answer.sent();
      stub.withDeadlineAfter(timeout.toMillis(), TimeUnit.MILLISECONDS)
          .generate(call, new Reading(answer));
    };
  }

  private record Reading(Answer answer) implements StreamObserver<GenerateResponse> {
    @Override
    public void onNext(GenerateResponse event) {
      switch (event.getEventCase()) {
        case CHUNK -> {
          if (!event.getChunk().getText().isEmpty() || event.getChunk().getTokensCount() > 0) {
            answer.text(System.nanoTime());
          }
        }
        case FINISHED -> {
          answer.usage(
              event.getFinished().getUsage().getPromptTokens(),
              event.getFinished().getUsage().getCompletionTokens());
          answer.timeline(event.getFinished().getTimeline());
        }
        case STARTED, EVENT_NOT_SET -> {}
      }
    }

    @Override
    public void onError(Throwable error) {
      Status status = Status.fromThrowable(error);
      answer.fail(kind(status), "The router said %s.".formatted(told(status)));
    }

    private static String told(Status status) {
      return status.getCode()
          + ": "
          + String.valueOf(status.getDescription()).replaceAll("\\.$", "");
    }

    private static Failure kind(Status status) {
      return switch (status.getCode()) {
        case RESOURCE_EXHAUSTED -> Failure.BUSY;
        case DEADLINE_EXCEEDED -> Failure.TIMEOUT;
        case INVALID_ARGUMENT, NOT_FOUND, UNAUTHENTICATED, PERMISSION_DENIED -> Failure.REFUSED;
        case UNAVAILABLE ->
            status.getCause() instanceof IOException ? Failure.CONNECT : Failure.SERVER;
        default -> Failure.SERVER;
      };
    }

    @Override
    public void onCompleted() {
      if (answer.timeline().isEmpty()) {
        answer.fail(Failure.CUT, "The router ended the answer without finishing it; ask again.");
      } else {
        answer.end();
      }
    }
  }

  @Override
  public void close() {
    channel.shutdownNow();
  }
}
