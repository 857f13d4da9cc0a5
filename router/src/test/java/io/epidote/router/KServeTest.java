package io.epidote.router;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import io.epidote.proto.kserve.v2.GRPCInferenceServiceGrpc;
import io.epidote.proto.kserve.v2.InferParameter;
import io.epidote.proto.kserve.v2.InferTensorContents;
import io.epidote.proto.kserve.v2.ModelInferRequest;
import io.epidote.proto.kserve.v2.ModelInferRequest.InferInputTensor;
import io.epidote.proto.kserve.v2.ModelInferResponse;
import io.epidote.proto.kserve.v2.ModelMetadataRequest;
import io.epidote.proto.kserve.v2.ModelMetadataResponse;
import io.epidote.proto.kserve.v2.ModelReadyRequest;
import io.epidote.proto.kserve.v2.ModelStreamInferResponse;
import io.epidote.proto.kserve.v2.ServerLiveRequest;
import io.epidote.proto.kserve.v2.ServerMetadataRequest;
import io.epidote.proto.kserve.v2.ServerReadyRequest;
import io.epidote.proto.stage.v1.DecodeStart;
import io.epidote.proto.stage.v1.PrefillStart;
import io.epidote.proto.v1.GetLoadRequest;
import io.epidote.router.ScriptedNode.Stall;
import io.epidote.router.ScriptedNode.Step;
import io.grpc.ClientInterceptor;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** KServe v2 over gRPC, with stubs that are generated from the public contract. */
class KServeTest {
  private static TestCluster cluster;

  @BeforeAll
  static void start() throws Exception {
    cluster = TestCluster.start();
  }

  @AfterEach
  void everyStageCallHasEnded() {
    await()
        .atMost(Duration.ofSeconds(30))
        .untilAsserted(() -> {
          assertThat(cluster.nodes()).allSatisfy(node -> assertThat(node.stillOpen()).isZero());
          assertThat(
                  cluster
                      .inference()
                      .getLoad(GetLoadRequest.getDefaultInstance())
                      .getRequestsInFlight())
              .isZero();
        });
    cluster.nodes().forEach(ScriptedNode::reset);
  }

  @AfterAll
  static void stop() {
    cluster.close();
  }

  private static GRPCInferenceServiceGrpc.GRPCInferenceServiceBlockingStub stub() {
    return GRPCInferenceServiceGrpc.newBlockingStub(cluster.channel)
        .withDeadlineAfter(20, TimeUnit.SECONDS);
  }

  private static InferInputTensor bytes(String name, String... elements) {
    InferTensorContents.Builder contents = InferTensorContents.newBuilder();
    for (String element : elements) {
      contents.addBytesContents(ByteString.copyFromUtf8(element));
    }
    return InferInputTensor.newBuilder()
        .setName(name)
        .setDatatype("BYTES")
        .addShape(elements.length)
        .setContents(contents)
        .build();
  }

  private static InferInputTensor flag(String name, boolean value) {
    return InferInputTensor.newBuilder()
        .setName(name)
        .setDatatype("BOOL")
        .addShape(1)
        .setContents(InferTensorContents.newBuilder().addBoolContents(value))
        .build();
  }

  private static ModelInferRequest.Builder ask(InferInputTensor... more) {
    return ModelInferRequest.newBuilder()
        .setModelName(TestModel.NAME)
        .setId("r-1")
        .addInputs(bytes("text_input", "hi"))
        .addAllInputs(List.of(more));
  }

  private static List<String> texts(ModelInferResponse response, String name) {
    return response.getOutputsList().stream()
        .filter(output -> output.getName().equals(name))
        .flatMap(output -> output.getContents().getBytesContentsList().stream())
        .map(ByteString::toStringUtf8)
        .toList();
  }

  @Test
  void theServerSaysWhatItIs() {
    assertThat(stub().serverLive(ServerLiveRequest.getDefaultInstance()).getLive()).isTrue();
    assertThat(stub().serverReady(ServerReadyRequest.getDefaultInstance()).getReady()).isTrue();
    assertThat(stub().serverMetadata(ServerMetadataRequest.getDefaultInstance()).getVersion())
        .isEqualTo("test");
    assertThat(stub().modelReady(ready(TestModel.NAME, "1"))).matches(r -> r.getReady());
    assertThat(stub().modelReady(ready(TestModel.NAME, "2"))).matches(r -> !r.getReady());
    assertThat(stub().modelReady(ready("other", ""))).matches(r -> !r.getReady());
    ModelMetadataResponse model =
        stub().modelMetadata(ModelMetadataRequest.newBuilder().setName(TestModel.NAME).build());
    assertThat(model.getInputsList())
        .extracting(input -> input.getName())
        .contains("text_input", "image", "stream", "sampling_parameters");
    assertThat(model.getOutputsList())
        .extracting(output -> output.getName() + " " + output.getDatatype())
        .contains("text_output BYTES", "num_output_tokens UINT32");
    assertStatus(
        () -> stub().modelMetadata(ModelMetadataRequest.newBuilder().setName("other").build()),
        Status.Code.NOT_FOUND,
        "test-model");
  }

  private static ModelReadyRequest ready(String name, String version) {
    return ModelReadyRequest.newBuilder().setName(name).setVersion(version).build();
  }

  @Test
  void aWholeAnswerBeginsWithItsPromptUnlessToldOtherwise() {
    ModelInferResponse response = stub().modelInfer(ask().build());
    assertThat(texts(response, "text_output")).containsExactly("hihello world");
    assertThat(response.getId()).isEqualTo("r-1");
    assertThat(response.getModelName()).isEqualTo(TestModel.NAME);
    assertThat(response.getOutputsCount()).isEqualTo(1);
    assertThat(
            texts(
                stub().modelInfer(ask(flag("exclude_input_in_output", true)).build()),
                "text_output"))
        .containsExactly("hello world");
  }

  @Test
  void parametersComeAsTensorOrBesideAndMayStandInStrings() {
    ModelInferResponse response =
        stub()
            .modelInfer(
                ask(
                        bytes(
                            "sampling_parameters",
                            "{\"temperature\":\"0.5\",\"max_tokens\":\"3\",\"seed\":4,\"n\":2,\"logprobs\":1,\"stop\":\"7\"}"),
                        flag("exclude_input_in_output", true),
                        flag("return_finish_reason", true),
                        flag("return_cumulative_logprob", true),
                        flag("return_logprobs", true),
                        flag("return_num_input_tokens", true),
                        flag("return_num_output_tokens", true))
                    .build());
    assertThat(texts(response, "text_output")).containsExactly("hel", "hel");
    assertThat(texts(response, "finish_reason")).containsExactly("length", "length");
    assertThat(texts(response, "logprobs").getFirst())
        .startsWith("[{\"104\":{\"logprob\":-0.5,\"decoded_token\":\"h\",\"rank\":null}},");
    assertThat(response.getOutputs(2).getContents().getFp32ContentsList())
        .containsExactly(-1.5f, -1.5f);
    assertThat(response.getOutputs(4).getContents().getUintContentsList()).containsExactly(2);
    assertThat(response.getOutputs(5).getContents().getUintContentsList()).containsExactly(3, 3);
    assertThat(cluster.prefill.prefills)
        .extracting(start -> start.getSampling().getSeed())
        .containsExactlyInAnyOrder(4L, 5L);
    assertThat(cluster.prefill.prefills.getFirst().getSampling().getTemperature()).isEqualTo(0.5f);
    ModelInferRequest beside =
        ask(flag("exclude_input_in_output", true))
            .putParameters("max_tokens", InferParameter.newBuilder().setInt64Param(2).build())
            .putParameters("top_p", InferParameter.newBuilder().setStringParam("0.9").build())
            .build();
    assertThat(texts(stub().modelInfer(beside), "text_output")).containsExactly("he");
  }

  @Test
  void picturesAreBase64AndTensorsMayBeRaw() {
    String picture =
        Base64.getEncoder().encodeToString("tiles:2".getBytes(StandardCharsets.US_ASCII));
    ModelInferRequest request =
        ModelInferRequest.newBuilder()
            .addInputs(raw("text_input", "BYTES"))
            .addInputs(raw("image", "BYTES"))
            .addInputs(raw("exclude_input_in_output", "BOOL"))
            .addRawInputContents(element("<image>what"))
            .addRawInputContents(element(picture))
            .addRawInputContents(ByteString.copyFrom(new byte[] {1}))
            .build();
    assertThat(texts(stub().modelInfer(request), "text_output")).containsExactly("hello world");
    assertThat(cluster.encode.encodes.getFirst().getItems(0).getData().toStringUtf8())
        .isEqualTo("tiles:2");
  }

  private static InferInputTensor raw(String name, String type) {
    return InferInputTensor.newBuilder().setName(name).setDatatype(type).addShape(1).build();
  }

  private static ByteString element(String text) {
    int length = text.length();
    return ByteString.copyFrom(new byte[] {(byte) length, (byte) (length >> 8), 0, 0})
        .concat(ByteString.copyFromUtf8(text));
  }

  @Test
  void whatCannotBeIsNamed() {
    assertInvalid(ModelInferRequest.newBuilder(), "inputs.text_input: is missing");
    assertInvalid(ask(bytes("text_input", "again")), "inputs.text_input: comes twice");
    assertInvalid(ask(bytes("prompt", "x")), "inputs.prompt: is no input");
    assertInvalid(ask(flag("image", true)), "inputs.image.datatype: is \"BOOL\"");
    assertInvalid(ask(bytes("image", "a*")), "inputs.image[0]: is not valid base64");
    assertInvalid(ask(flag("stream", true)), "call ModelStreamInfer");
    assertInvalid(ask(bytes("sampling_parameters", "{")), "is not JSON");
    assertInvalid(
        ask(bytes("sampling_parameters", "{\"top_p\":7}")), "inputs.sampling_parameters.top_p");
    assertInvalid(
        ask(bytes("sampling_parameters", "{\"min_tokens\":17}")),
        "inputs.sampling_parameters.min_tokens: is 17, but max_tokens is 16");
    assertInvalid(ask(bytes("sampling_parameters", "{\"bad_words\":[\"a\"]}")), "use logit_bias");
    assertInvalid(ask().setModelVersion("3"), "model_version: is \"3\"");
    assertInvalid(
        ask().addRawInputContents(ByteString.EMPTY).addRawInputContents(ByteString.EMPTY),
        "raw_input_contents: has 2 entries for 1 inputs");
    assertInvalid(
        ModelInferRequest.newBuilder()
            .addInputs(raw("text_input", "BYTES"))
            .addRawInputContents(ByteString.copyFrom(new byte[] {-1, -1, -1, -1, 0})),
        "end within element 0");
    assertInvalid(
        ModelInferRequest.newBuilder().addInputs(bytes("text_input", "hi").toBuilder().addShape(2)),
        "inputs.text_input.shape");
    assertStatus(
        () -> stub().modelInfer(ask().setModelName("other").build()),
        Status.Code.NOT_FOUND,
        "test-model");
  }

  private static ClientInterceptor metadata(String... namesAndValues) {
    Metadata headers = new Metadata();
    for (int i = 0; i < namesAndValues.length; i += 2) {
      headers.put(
          Metadata.Key.of(namesAndValues[i], Metadata.ASCII_STRING_MARSHALLER),
          namesAndValues[i + 1]);
    }
    return MetadataUtils.newAttachHeadersInterceptor(headers);
  }

  @Test
  void metadataSayWhatHeadersSayOverHttp() {
    ModelInferRequest.Builder nameless =
        ask(bytes("sampling_parameters", "{\"priority\":\"-7\",\"presence_penalty\":0.5}"))
            .setId("");
    ClientInterceptor said =
        metadata(
            "x-epidote-tenant",
            "acme",
            "x-request-id",
            "kserve-1",
            "x-epidote-cache-salt",
            "pepper",
            "x-epidote-slo-tpot-ms",
            "40.5");
    assertThat(stub().withInterceptors(said).modelInfer(nameless.build()).getId()).isEmpty();
    assertThat(stub().withInterceptors(said).modelInfer(ask().build()).getId()).isEqualTo("r-1");
    List<PrefillStart> starts = cluster.prefill.prefills;
    assertThat(starts).extracting(PrefillStart::getRequestId).containsExactly("kserve-1", "r-1");
    assertThat(starts).extracting(PrefillStart::getTenant).containsOnly("acme");
    assertThat(starts).extracting(start -> start.getCacheSalt().size()).containsOnly(32);
    assertThat(starts).extracting(PrefillStart::getPriority).containsExactly(-7, 0);
    assertThat(starts.getFirst().getSampling().getPresencePenalty()).isEqualTo(0.5f);
    assertThat(cluster.decode.decodes).extracting(DecodeStart::getTpotMs).containsOnly(40.5);
    assertStatus(
        () ->
            stub().withInterceptors(metadata("x-epidote-tenant", "a b")).modelInfer(ask().build()),
        Status.Code.INVALID_ARGUMENT,
        "x-epidote-tenant");
  }

  @Test
  void everyRequestOfAStreamIsOfItsTenant() throws Exception {
    Heard heard = new Heard();
    StreamObserver<ModelInferRequest> requests =
        GRPCInferenceServiceGrpc.newStub(cluster.channel)
            .withInterceptors(metadata("x-epidote-tenant", "acme", "x-request-id", "kserve-1"))
            .modelStreamInfer(heard);
    requests.onNext(ask().setId("").build());
    requests.onNext(ask().setId("kserve-2").build());
    requests.onCompleted();
    heard.end.get(20, TimeUnit.SECONDS);
    assertThat(cluster.prefill.prefills)
        .extracting(PrefillStart::getTenant)
        .containsExactly("acme", "acme");
    assertThat(cluster.prefill.prefills)
        .extracting(PrefillStart::getRequestId)
        .containsExactlyInAnyOrder("kserve-1", "kserve-2");
  }

  private static void assertInvalid(ModelInferRequest.Builder request, String words) {
    assertStatus(() -> stub().modelInfer(request.build()), Status.Code.INVALID_ARGUMENT, words);
  }

  private static void assertStatus(Runnable call, Status.Code code, String words) {
    assertThatThrownBy(call::run)
        .isInstanceOfSatisfying(
            StatusRuntimeException.class,
            error -> assertThat(error.getStatus().getCode()).isEqualTo(code))
        .hasMessageContaining(words);
  }

  /** A stream's responses. */
  private static final class Heard implements StreamObserver<ModelStreamInferResponse> {
    final List<ModelStreamInferResponse> responses = new CopyOnWriteArrayList<>();
    final CompletableFuture<Void> end = new CompletableFuture<>();

    @Override
    public void onNext(ModelStreamInferResponse response) {
      responses.add(response);
    }

    @Override
    public void onError(Throwable error) {
      end.completeExceptionally(error);
    }

    @Override
    public void onCompleted() {
      end.complete(null);
    }
  }

  @Test
  void aStreamAnswersEveryRequestAndOutlivesErrors() throws Exception {
    Heard heard = new Heard();
    StreamObserver<ModelInferRequest> requests =
        GRPCInferenceServiceGrpc.newStub(cluster.channel).modelStreamInfer(heard);
    requests.onNext(ask(flag("stream", true), flag("return_finish_reason", true)).build());
    requests.onNext(ask(bytes("image", "a*")).setId("bad").build());
    requests.onNext(ask().setId("whole").build());
    requests.onCompleted();
    heard.end.get(20, TimeUnit.SECONDS);
    StringBuilder text = new StringBuilder();
    int streamed = 0;
    for (ModelStreamInferResponse response : heard.responses) {
      ModelInferResponse inner = response.getInferResponse();
      switch (inner.getId()) {
        case "r-1" -> {
          streamed++;
          text.append(texts(inner, "text_output").getFirst());
          boolean last = inner.getParametersOrThrow("triton_final_response").getBoolParam();
          assertThat(texts(inner, "finish_reason")).containsExactly(last ? "stop" : "None");
        }
        case "bad" -> assertThat(response.getErrorMessage()).contains("inputs.image[0]");
        default -> assertThat(texts(inner, "text_output")).containsExactly("hihello world");
      }
    }
    assertThat(text).hasToString("hello world");
    assertThat(streamed).isEqualTo(12);
    assertThat(heard.responses).hasSize(14);
  }

  @Test
  void aClientThatGoesEndsWhatItAsked() throws Exception {
    cluster.decode.script.put(Step.MORE_TOKENS, new Stall());
    Heard heard = new Heard();
    ClientCallStreamObserver<ModelInferRequest> requests =
        (ClientCallStreamObserver<ModelInferRequest>)
            GRPCInferenceServiceGrpc.newStub(cluster.channel).modelStreamInfer(heard);
    requests.onNext(ask(flag("stream", true)).build());
    requests.onNext(ask(flag("stream", true)).setId("r-2").build());
    await().until(() -> cluster.decode.stillOpen() == 2);
    requests.cancel("gone", null);
    await().until(() -> cluster.decode.cancelled.get() == 2);
  }
}
