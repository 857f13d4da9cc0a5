package io.epidote.cli.chaos;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.protobuf.ByteString;
import io.epidote.cli.chaos.Attempt.End;
import io.epidote.cli.load.Access;
import io.epidote.proto.v1.Chat;
import io.epidote.proto.v1.ChatMessage;
import io.epidote.proto.v1.ContentPart;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.GenerateResponse;
import io.epidote.proto.v1.InferenceGrpc;
import io.epidote.proto.v1.Media;
import io.epidote.proto.v1.SamplingParams;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodySubscribers;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;

/**
 * Sends requests over gRPC and HTTP and writes down all that comes. Safe for use by many threads.
 */
final class ChaosClient implements AutoCloseable {
  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final int BUSY = 429;
  private static final int UNAVAILABLE = 503;

  private final ManagedChannel channel;
  private final InferenceGrpc.InferenceStub stub;
  private final HttpClient http;
  private final Access access;
  private final URI completions;
  private final Duration timeout;

  /**
   * @param grpc host:port of the router's gRPC port
   * @param httpAddress host:port of its HTTP port
   * @param access certificates and key
   * @param timeout after which an answer that has not ended hangs
   */
  ChaosClient(String grpc, String httpAddress, Access access, Duration timeout) {
    this.access = access;
    this.http = access.http().connectTimeout(Duration.ofSeconds(10)).build();
    this.channel = access.channel(grpc).build();
    this.stub = InferenceGrpc.newStub(channel);
    this.completions = URI.create(access.scheme() + "://" + httpAddress + "/v1/chat/completions");
    this.timeout = timeout;
  }

  /**
   * Sends a request and returns at once.
   *
   * @param salt of the prefix cache; with another one nothing is found there
   * @param leaveAfter when its caller leaves, if the answer has not ended by then
   */
  CompletableFuture<Attempt> send(
      ChaosRequest request,
      String id,
      List<byte[]> pictures,
      String salt,
      long due,
      Optional<Duration> leaveAfter) {
    Attempt attempt = new Attempt(request, id, due);
    Runnable leave =
        request.http() ? sendHttp(attempt, pictures, salt) : sendGrpc(attempt, pictures, salt);
    after(timeout, attempt, End.HUNG, "No end within " + timeout.toSeconds() + " s.", leave);
    leaveAfter.ifPresent(time -> after(time, attempt, End.CANCELLED, "", leave));
    return attempt.ended();
  }

  private static void after(Duration time, Attempt attempt, End how, String why, Runnable leave) {
    CompletableFuture.delayedExecutor(time.toNanos(), TimeUnit.NANOSECONDS)
        .execute(() -> {
          attempt.end(how, why);
          leave.run();
        });
  }

  /** Gives what ends the call. */
  private Runnable sendGrpc(Attempt attempt, List<byte[]> pictures, String salt) {
    ChatMessage.Builder message = ChatMessage.newBuilder().setRole("user");
    for (byte[] picture : pictures) {
      message.addContent(
          ContentPart.newBuilder()
              .setMedia(Media.newBuilder().setData(ByteString.copyFrom(picture))));
    }
    message.addContent(ContentPart.newBuilder().setText(attempt.request().text()));
    GenerateRequest call =
        GenerateRequest.newBuilder()
            .setRequestId(attempt.id())
            .setChat(Chat.newBuilder().addMessages(message))
            .setSampling(attempt.request().sampling())
            .setCacheSalt(salt)
            .build();
    Context.CancellableContext context = Context.current().withCancellation();
    context.run(() -> stub.generate(call, new Reading(attempt)));
    return () -> context.cancel(null);
  }

  private record Reading(Attempt attempt) implements StreamObserver<GenerateResponse> {
    @Override
    public void onNext(GenerateResponse event) {
      switch (event.getEventCase()) {
        case STARTED -> attempt.accepted();
        case CHUNK -> {
          event.getChunk().getTokensList().forEach(token -> attempt.token(token.getTokenId()));
          attempt.text(event.getChunk().getText());
        }
        case FINISHED -> {
          attempt.usage(event.getFinished().getUsage().getCompletionTokens());
          attempt.reason(event.getFinished().getReason().name());
          event
              .getFinished()
              .getTimeline()
              .getStagesList()
              .forEach(stage ->
                  attempt.stage(
                      stage.getStage().name().replace("STAGE_", "").toLowerCase(Locale.ROOT),
                      stage.getNodeId()));
          attempt.end(End.WHOLE, "");
        }
        case EVENT_NOT_SET -> {}
      }
    }

    @Override
    public void onError(Throwable error) {
      Status status = Status.fromThrowable(error);
      boolean clean =
          switch (status.getCode()) {
            case RESOURCE_EXHAUSTED -> true;
            case UNAVAILABLE -> !(status.getCause() instanceof IOException);
            default -> false;
          };
      attempt.end(
          clean && !attempt.wasAccepted() ? End.REFUSED : End.FAILED,
          status.getCode() + ": " + status.getDescription());
    }

    @Override
    public void onCompleted() {
      attempt.end(End.FAILED, "The router ended the answer without finishing it.");
    }
  }

  /** Gives what ends the call. */
  private Runnable sendHttp(Attempt attempt, List<byte[]> pictures, String salt) {
    ObjectNode body = JsonNodeFactory.instance.objectNode();
    ArrayNode parts = body.putArray("messages").addObject().put("role", "user").putArray("content");
    for (byte[] picture : pictures) {
      parts
          .addObject()
          .put("type", "image_url")
          .putObject("image_url")
          .put("url", "data:image/png;base64," + Base64.getEncoder().encodeToString(picture));
    }
    parts.addObject().put("type", "text").put("text", attempt.request().text());
    SamplingParams sampling = attempt.request().sampling();
    body.put("max_tokens", sampling.getMaxTokens())
        .put("ignore_eos", sampling.getIgnoreEos())
        .put("temperature", sampling.getTemperature())
        .put("stream", true)
        .put("timeline", true);
    if (sampling.hasSeed()) {
      body.put("seed", sampling.getSeed()).put("top_p", sampling.getTopP());
    }
    body.putObject("stream_options").put("include_usage", true);
    HttpRequest.Builder post =
        access
            .authorize(HttpRequest.newBuilder(completions))
            .header("Content-Type", "application/json")
            .header("x-request-id", attempt.id())
            .POST(BodyPublishers.ofString(body.toString()));
    if (!salt.isEmpty()) {
      post.header("x-epidote-cache-salt", salt);
    }
    Lines lines = new Lines(attempt);
    CompletableFuture<?> exchange =
        http.sendAsync(
            post.build(),
            info -> {
              lines.status(info.statusCode());
              return BodySubscribers.fromLineSubscriber(lines);
            });
    exchange.whenComplete((_, error) -> {
      if (error != null) {
        attempt.end(End.FAILED, "The connection failed: " + error);
      }
    });
    return () -> {
      exchange.cancel(true);
      lines.cancel();
    };
  }

  /** Server-sent events, or the text of a refusal. */
  private static final class Lines implements Flow.Subscriber<String> {
    private final Attempt attempt;
    private final StringBuilder refusal = new StringBuilder();
    private volatile int status;
    private volatile boolean cancelled;
    private volatile Flow.Subscription subscription;

    Lines(Attempt attempt) {
      this.attempt = attempt;
      this.subscription = NONE;
    }

    private static final Flow.Subscription NONE =
        new Flow.Subscription() {
          @Override
          public void request(long n) {}

          @Override
          public void cancel() {}
        };

    void status(int code) {
      status = code;
      if (code == 200) {
        attempt.accepted();
      }
    }

    void cancel() {
      cancelled = true;
      subscription.cancel();
    }

    @Override
    public void onSubscribe(Flow.Subscription given) {
      subscription = given;
      if (cancelled) {
        given.cancel();
      }
      given.request(Long.MAX_VALUE);
    }

    @Override
    public void onNext(String line) {
      if (status != 200) {
        refusal.append(line);
      } else if (line.equals("data: [DONE]")) {
        attempt.end(End.WHOLE, "");
      } else if (line.startsWith("data: ")) {
        try {
          event(MAPPER.readTree(line.substring("data: ".length())));
        } catch (IOException e) {
          attempt.end(End.FAILED, "An event is no JSON: " + line);
        }
      }
    }

    private void event(JsonNode event) {
      if (event.has("error")) {
        attempt.end(End.FAILED, "An error in the stream: " + event.path("error"));
        return;
      }
      for (JsonNode choice : event.path("choices")) {
        attempt.text(choice.path("delta").path("content").asText(""));
        if (choice.path("finish_reason").isTextual()) {
          attempt.reason(choice.path("finish_reason").asText());
        }
      }
      if (event.path("usage").isObject()) {
        attempt.usage(event.path("usage").path("completion_tokens").asInt());
      }
      for (JsonNode stage : event.path("timeline").path("stages")) {
        attempt.stage(stage.path("stage").asText(), stage.path("node").asText());
      }
    }

    @Override
    public void onError(Throwable error) {
      attempt.end(End.FAILED, "The connection ended in the middle: " + error);
    }

    @Override
    public void onComplete() {
      if (status == 200) {
        attempt.end(End.FAILED, "The answer ended without [DONE].");
      } else {
        attempt.end(
            status == BUSY || status == UNAVAILABLE ? End.REFUSED : End.FAILED,
            "HTTP %d: %s".formatted(status, refusal));
      }
    }
  }

  @Override
  public void close() {
    channel.shutdownNow();
    http.shutdownNow();
  }
}
