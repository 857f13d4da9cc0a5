package io.epidote.router;

import com.google.protobuf.ByteString;
import io.epidote.proto.v1.Chat;
import io.epidote.proto.v1.ChatMessage;
import io.epidote.proto.v1.ContentPart;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.InferenceGrpc;
import io.epidote.proto.v1.Media;
import io.epidote.proto.v1.Stage;
import io.epidote.router.access.Security;
import io.epidote.router.cluster.PlacementRules;
import io.epidote.router.cluster.Sharding;
import io.epidote.router.cluster.Topology;
import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** A router with one scripted node for each stage. */
final class TestCluster implements AutoCloseable {
  static final RouterConfig.Limits LIMITS =
      RouterConfig.Limits.DEFAULT
          .but()
          .maxInFlight(8)
          .maxQueued(8)
          .maxBodyBytes(256 << 10)
          .maxHeldBytes(4 << 20)
          .maxMediaItems(4)
          .requestTimeout(Duration.ofSeconds(30))
          .recoveryWait(Duration.ofMillis(400))
          .nodeSilence(Duration.ofHours(1))
          .drain(Duration.ofMillis(200))
          .build();

  final Router router;
  final ScriptedNode encode;
  final ScriptedNode prefill;
  final ScriptedNode decode;
  final ManagedChannel channel;
  final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

  private TestCluster(RouterConfig.Limits limits, Optional<Topology> topology) throws Exception {
    this(router(limits, topology));
  }

  private TestCluster(Router started) throws Exception {
    router = started;
    encode = ScriptedNode.start("e1", Stage.STAGE_ENCODE).join(router.grpcPort());
    prefill = ScriptedNode.start("p1", Stage.STAGE_PREFILL).join(router.grpcPort());
    decode = ScriptedNode.start("d1", Stage.STAGE_DECODE).join(router.grpcPort());
    channel =
        NettyChannelBuilder.forAddress("127.0.0.1", router.grpcPort())
            .usePlaintext()
            // Small, so that a client that does not read is noticed soon.
            .flowControlWindow(64 << 10)
            .build();
  }

  static Router router(RouterConfig.Limits limits, Optional<Topology> topology) {
    return Router.start(
        RouterConfig.of(Path.of("unused"), Path.of("unused"), "test")
            .limits(limits)
            .placement(new PlacementRules(true, topology, Sharding.TILES))
            .build(),
        new TestModel());
  }

  static TestCluster start() throws Exception {
    return start(LIMITS);
  }

  static TestCluster start(RouterConfig.Limits limits) throws Exception {
    return new TestCluster(limits, Optional.empty());
  }

  /** A cluster whose router does not let everybody in. */
  static TestCluster start(Security security) throws Exception {
    return new TestCluster(
        Router.start(
            RouterConfig.of(Path.of("unused"), Path.of("unused"), "test")
                .limits(LIMITS)
                .security(security)
                .build(),
            new TestModel()));
  }

  /** A cluster that is held to a topology. */
  static TestCluster start(Topology topology) throws Exception {
    return new TestCluster(LIMITS, Optional.of(topology));
  }

  /** Whether every node is still there; a cluster that lost one is of no use to another test. */
  boolean intact() {
    return router.ready() && nodes().stream().noneMatch(node -> node.registrationEnded.isDone());
  }

  List<ScriptedNode> nodes() {
    return List.of(encode, prefill, decode);
  }

  InferenceGrpc.InferenceBlockingStub inference() {
    return InferenceGrpc.newBlockingStub(channel).withDeadlineAfter(20, TimeUnit.SECONDS);
  }

  InferenceGrpc.InferenceStub asyncInference() {
    return InferenceGrpc.newStub(channel);
  }

  URI uri(String path) {
    return URI.create("http://127.0.0.1:" + router.httpPort() + path);
  }

  HttpResponse<String> get(String path) throws Exception {
    return http.send(
        HttpRequest.newBuilder(uri(path)).build(), HttpResponse.BodyHandlers.ofString());
  }

  HttpResponse<String> chat(String body, String... headers) throws Exception {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(uri("/v1/chat/completions"))
            .timeout(Duration.ofSeconds(20))
            .POST(HttpRequest.BodyPublishers.ofString(body));
    if (headers.length > 0) {
      request.headers(headers);
    }
    return http.send(request.build(), HttpResponse.BodyHandlers.ofString());
  }

  /** A JSON body that asks {@code text}, with more fields. */
  static String ask(String text, String moreFields) {
    return "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]%s}".formatted(text, moreFields);
  }

  /** A JSON body with a picture of so many tiles. */
  static String askPicture(int tiles, String moreFields) {
    String data =
        Base64.getEncoder().encodeToString(("tiles:" + tiles).getBytes(StandardCharsets.US_ASCII));
    return """
    {"messages":[{"role":"user","content":[
      {"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}},
      {"type":"text","text":"what is it"}]}]%s}\
    """
        .formatted(data, moreFields);
  }

  static GenerateRequest.Builder generate(int... pictureTiles) {
    ChatMessage.Builder message = ChatMessage.newBuilder().setRole("user");
    for (int tiles : pictureTiles) {
      message.addContent(
          ContentPart.newBuilder()
              .setMedia(Media.newBuilder().setData(ByteString.copyFromUtf8("tiles:" + tiles))));
    }
    message.addContent(ContentPart.newBuilder().setText("what is it"));
    return GenerateRequest.newBuilder().setChat(Chat.newBuilder().addMessages(message));
  }

  @Override
  public void close() {
    channel.shutdownNow();
    http.close();
    nodes().forEach(ScriptedNode::close);
    router.close();
  }
}
