package io.epidote.cli;

import com.google.protobuf.ByteString;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.Unavailable;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.v1.AdapterAdminGrpc;
import io.epidote.proto.v1.Chat;
import io.epidote.proto.v1.ChatMessage;
import io.epidote.proto.v1.ContentPart;
import io.epidote.proto.v1.ExplainRequest;
import io.epidote.proto.v1.ExplainResponse;
import io.epidote.proto.v1.Finished;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.GenerateResponse;
import io.epidote.proto.v1.GetLoadRequest;
import io.epidote.proto.v1.GetLoadResponse;
import io.epidote.proto.v1.GetModelRequest;
import io.epidote.proto.v1.GetModelResponse;
import io.epidote.proto.v1.InferenceGrpc;
import io.epidote.proto.v1.InferenceGrpc.InferenceBlockingStub;
import io.epidote.proto.v1.ListAdaptersRequest;
import io.epidote.proto.v1.ListAdaptersResponse;
import io.epidote.proto.v1.LoadAdapterRequest;
import io.epidote.proto.v1.LoadAdapterResponse;
import io.epidote.proto.v1.Media;
import io.epidote.proto.v1.RoleAdminGrpc;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.SwitchRequest;
import io.epidote.proto.v1.SwitchResponse;
import io.epidote.proto.v1.UnloadAdapterRequest;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** A client of a router, over the public gRPC contract. Safe for use by many threads. */
final class InferenceClient implements AutoCloseable {
  /** A node drains, and loads weights. */
  private static final Duration ROLE_TIMEOUT = Duration.ofMinutes(10);

  private static final Duration TIMEOUT = Duration.ofMinutes(5);

  private final String address;
  private final ManagedChannel channel;
  private final InferenceBlockingStub stub;

  /**
   * @param address host:port of the router's gRPC port
   */
  InferenceClient(String address) {
    this(address, ConnectionOptions.plain());
  }

  /**
   * @param address host:port of the router's gRPC port
   */
  InferenceClient(String address, ConnectionOptions connection) {
    this.address = address;
    this.channel = connection.open(address);
    this.stub = InferenceGrpc.newBlockingStub(channel);
  }

  /**
   * An answer with the times that its client saw.
   *
   * @param firstTextMillis from the call to the first text
   */
  record Answer(
      String model,
      String text,
      List<Integer> tokenIds,
      double firstTextMillis,
      double millis,
      Finished finished) {}

  /** A question about pictures, as a chat of one turn. */
  static GenerateRequest question(
      String model, List<byte[]> pictures, String text, SamplingParams sampling) {
    ChatMessage.Builder message = ChatMessage.newBuilder().setRole("user");
    for (byte[] picture : pictures) {
      message.addContent(
          ContentPart.newBuilder()
              .setMedia(Media.newBuilder().setData(ByteString.copyFrom(picture))));
    }
    message.addContent(ContentPart.newBuilder().setText(text));
    return GenerateRequest.newBuilder()
        .setModel(model)
        .setChat(Chat.newBuilder().addMessages(message))
        .setSampling(sampling)
        .build();
  }

  /**
   * Generates one answer.
   *
   * @param onText takes the answer's text piece by piece
   */
  Answer generate(GenerateRequest request, Consumer<String> onText) {
    long started = System.nanoTime();
    double firstText = Double.NaN;
    String model = "";
    StringBuilder text = new StringBuilder();
    List<Integer> ids = new ArrayList<>();
    try {
      Iterator<GenerateResponse> events =
          stub.withDeadlineAfter(TIMEOUT.toSeconds(), TimeUnit.SECONDS).generate(request);
      while (events.hasNext()) {
        GenerateResponse event = events.next();
        switch (event.getEventCase()) {
          case CHUNK -> {
            if (Double.isNaN(firstText)) {
              firstText = millisSince(started);
            }
            event.getChunk().getTokensList().forEach(token -> ids.add(token.getTokenId()));
            text.append(event.getChunk().getText());
            onText.accept(event.getChunk().getText());
          }
          case FINISHED -> {
            return new Answer(
                model, text.toString(), ids, firstText, millisSince(started), event.getFinished());
          }
          case STARTED -> model = event.getStarted().getModel();
          case EVENT_NOT_SET -> {}
        }
      }
    } catch (StatusRuntimeException e) {
      throw translated(e);
    }
    throw new Unavailable(
        "The router at " + address + " ended the answer without finishing it; ask again");
  }

  /** What the router serves. */
  GetModelResponse model() {
    try {
      return stub.withDeadlineAfter(10, TimeUnit.SECONDS)
          .getModel(GetModelRequest.getDefaultInstance());
    } catch (StatusRuntimeException e) {
      throw translated(e);
    }
  }

  /** Whether every stage has a node; needs no API key. */
  boolean isServing() {
    try {
      return HealthGrpc.newBlockingStub(channel)
              .withDeadlineAfter(10, TimeUnit.SECONDS)
              .check(HealthCheckRequest.getDefaultInstance())
              .getStatus()
          == ServingStatus.SERVING;
    } catch (StatusRuntimeException e) {
      throw translated(e);
    }
  }

  /** The nodes, asked at this moment. */
  GetLoadResponse load() {
    try {
      return stub.withDeadlineAfter(10, TimeUnit.SECONDS)
          .getLoad(GetLoadRequest.newBuilder().setFresh(true).build());
    } catch (StatusRuntimeException e) {
      throw translated(e);
    }
  }

  LoadAdapterResponse loadAdapter(LoadAdapterRequest request) {
    try {
      return adapters().loadAdapter(request);
    } catch (StatusRuntimeException e) {
      throw translated(e);
    }
  }

  void unloadAdapter(String name) {
    try {
      var unused =
          adapters().unloadAdapter(UnloadAdapterRequest.newBuilder().setName(name).build());
    } catch (StatusRuntimeException e) {
      throw translated(e);
    }
  }

  ListAdaptersResponse listAdapters() {
    try {
      return adapters().listAdapters(ListAdaptersRequest.getDefaultInstance());
    } catch (StatusRuntimeException e) {
      throw translated(e);
    }
  }

  /** Gives a node other stages; returns when it serves with them. */
  SwitchResponse switchRole(SwitchRequest request) {
    try {
      return RoleAdminGrpc.newBlockingStub(channel)
          .withDeadlineAfter(ROLE_TIMEOUT.toSeconds(), TimeUnit.SECONDS)
          .switch_(request);
    } catch (StatusRuntimeException e) {
      throw translated(e);
    }
  }

  /** What the router last decided about roles. */
  ExplainResponse explainRoles() {
    try {
      return RoleAdminGrpc.newBlockingStub(channel)
          .withDeadlineAfter(TIMEOUT.toSeconds(), TimeUnit.SECONDS)
          .explain(ExplainRequest.getDefaultInstance());
    } catch (StatusRuntimeException e) {
      throw translated(e);
    }
  }

  private AdapterAdminGrpc.AdapterAdminBlockingStub adapters() {
    return AdapterAdminGrpc.newBlockingStub(channel)
        .withDeadlineAfter(TIMEOUT.toSeconds(), TimeUnit.SECONDS);
  }

  private RuntimeException translated(StatusRuntimeException e) {
    if (e.getStatus().getCode() == Status.Code.UNAVAILABLE
        && e.getStatus().getCause() instanceof java.io.IOException) {
      return new Unavailable(
          "No router answers at %s (%s); start one with './epidote up', or name another with --router"
              .formatted(address, e.getStatus().getCause().getMessage()),
          e);
    }
    if (e.getStatus().getCode() == Status.Code.UNIMPLEMENTED) {
      return new InvalidRequest(
          "%s does not do that (%s); adapters and roles are changed at the router's --admin-port, which is 8002 unless said otherwise"
              .formatted(address, e.getStatus().getDescription()),
          e);
    }
    return GrpcErrors.fromStatus(e);
  }

  private static double millisSince(long started) {
    return (System.nanoTime() - started) / 1e6;
  }

  @Override
  public void close() {
    channel.shutdownNow();
  }
}
