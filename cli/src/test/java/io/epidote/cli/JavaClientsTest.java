package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.langchain4j.data.message.ImageContent;
import dev.langchain4j.data.message.TextContent;
import dev.langchain4j.data.message.UserMessage;
import dev.langchain4j.exception.InvalidRequestException;
import dev.langchain4j.exception.ModelNotFoundException;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.chat.response.StreamingChatResponseHandler;
import dev.langchain4j.model.openai.OpenAiChatModel;
import dev.langchain4j.model.openai.OpenAiStreamingChatModel;
import io.epidote.client.Answer;
import io.epidote.client.AnswerStream;
import io.epidote.client.EpidoteClient;
import io.epidote.client.Question;
import io.epidote.client.RequestFailed;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.OutputToken;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.proto.v1.TextPrompt;
import io.epidote.proto.v1.TokenLogprob;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What Java programs ask with: our client, and LangChain4j's for OpenAI. */
@ExtendWith(FourProcesses.class)
class JavaClientsTest {
  private static final Path PICTURE = Home.model("scenes").resolve("examples/small.png");
  private static final String QUESTION = "describe the picture.";

  @Test
  void ourClientAsksAndStreams(Cluster cluster) throws Exception {
    try (EpidoteClient client = EpidoteClient.connect(cluster.grpcAddress())) {
      assertThat(client.model().getName()).isEqualTo("scenes");
      Question question = Question.of(QUESTION).picture(PICTURE).temperature(0);
      Answer whole = client.ask(question.logprobs(2));
      assertThat(whole.text()).isNotBlank();
      assertThat(whole.reason()).isEqualTo(FinishReason.FINISH_REASON_STOP);
      assertThat(whole.tokens())
          .allSatisfy(token -> {
            assertThat(token.getLogprob()).isNegative();
            // Greedy: the likeliest of the alternatives is the token itself.
            assertThat(token.getTopLogprobs(0).getTokenId()).isEqualTo(token.getTokenId());
          });
      assertThat(whole.timeline().getStagesList())
          .extracting(StageTiming::getStage)
          .containsExactly(Stage.STAGE_ENCODE, Stage.STAGE_PREFILL, Stage.STAGE_DECODE);
      List<String> pieces = new ArrayList<>();
      try (AnswerStream stream = client.stream(question.id("java-1"))) {
        stream.forEachRemaining(pieces::add);
        Answer streamed = stream.answer();
        assertThat(streamed.id()).isEqualTo("java-1");
        assertThat(String.join("", pieces)).isEqualTo(streamed.text()).isEqualTo(whole.text());
      }
      assertThat(pieces).hasSizeGreaterThan(1);
      assertThat(client.ask(question.stop(pieces.get(2).strip())).text().length())
          .isLessThan(whole.text().length());
    }
    ClusterAssertions.assertNothingInUse(cluster, FourProcesses.NODES.size());
  }

  @Test
  void ourClientCancelsAndAborts(Cluster cluster) throws Exception {
    try (EpidoteClient client = EpidoteClient.connect(cluster.grpcAddress())) {
      Question question = endless().id("java-2");
      try (AnswerStream stream = client.stream(question)) {
        stream.next();
        stream.close();
        assertThatThrownBy(stream::answer)
            .isInstanceOfSatisfying(
                RequestFailed.class,
                e -> assertThat(e.kind()).isEqualTo(RequestFailed.Kind.CANCELLED));
      }
      ClusterAssertions.assertNothingInUse(cluster, FourProcesses.NODES.size());
      try (AnswerStream stream = client.stream(question)) {
        stream.next();
        assertThat(client.abort("java-2")).isTrue();
        assertThat(stream.answer().reason()).isEqualTo(FinishReason.FINISH_REASON_ABORT);
      }
      assertThat(client.abort("java-2")).isFalse();
    }
    ClusterAssertions.assertNothingInUse(cluster, FourProcesses.NODES.size());
  }

  /** A question whose answer takes as long as the context has room. */
  private static Question endless() {
    return Question.of(
        GenerateRequest.newBuilder()
            .setText(TextPrompt.newBuilder().setText("a red circle"))
            .setSampling(SamplingParams.newBuilder().setTemperature(0).setIgnoreEos(true))
            .build());
  }

  @Test
  void ourClientSaysWhatToDo(Cluster cluster) {
    try (EpidoteClient client = EpidoteClient.connect(cluster.grpcAddress())) {
      assertFails(
          () -> client.ask(Question.of("hi").model("other")),
          RequestFailed.Kind.NO_SUCH_MODEL,
          "this router serves \"scenes\"");
      assertFails(
          () -> client.ask(Question.of("hi").temperature(7)),
          RequestFailed.Kind.BAD_REQUEST,
          "sampling.temperature: is 7.0; expected a number from 0 to 2");
      assertFails(
          () -> client.ask(endless().timeout(Duration.ofMillis(50))),
          RequestFailed.Kind.TIMED_OUT,
          "give it more time");
    }
    try (EpidoteClient client = EpidoteClient.connect("127.0.0.1:1")) {
      assertFails(
          () -> client.ask(Question.of("hi")),
          RequestFailed.Kind.UNAVAILABLE,
          "No router answers at 127.0.0.1:1");
    }
  }

  private static void assertFails(Runnable call, RequestFailed.Kind kind, String words) {
    assertThatThrownBy(call::run)
        .isInstanceOfSatisfying(
            RequestFailed.class, error -> assertThat(error.kind()).isEqualTo(kind))
        .hasMessageContaining(words);
  }

  /** Decode's numbers are those that prefill has when it takes an answer on after a lost node. */
  @Test
  void logprobsGoOnAsTheyWouldHaveBeen(Cluster cluster) throws Exception {
    String prompt = "a red circle";
    GenerateRequest request =
        GenerateRequest.newBuilder()
            .setText(TextPrompt.newBuilder().setText(prompt))
            .setSampling(
                SamplingParams.newBuilder()
                    .setTemperature(0)
                    .setIgnoreEos(true)
                    .setMaxTokens(12)
                    .setLogprobs(true)
                    .setTopLogprobs(3))
            .build();
    List<OutputToken> whole;
    try (EpidoteClient client = EpidoteClient.connect(cluster.grpcAddress())) {
      whole = client.ask(Question.of(request)).tokens();
    }
    List<Integer> sent = new ArrayList<>();
    post(cluster, "/tokenize", "{\"prompt\":\"%s\"}".formatted(prompt))
        .path("tokens")
        .forEach(token -> sent.add(token.asInt()));
    for (OutputToken token : whole.subList(0, 5)) {
      sent.add(token.getTokenId());
    }
    JsonNode rest =
        post(
                cluster,
                "/v1/completions",
                "{\"prompt\":%s,\"temperature\":0,\"ignore_eos\":true,\"max_tokens\":7,\"logprobs\":3}"
                    .formatted(sent))
            .at("/choices/0/logprobs");
    assertThat(rest.path("token_logprobs")).hasSize(7);
    for (int i = 0; i < 7; i++) {
      OutputToken expected = whole.get(5 + i);
      assertThat(rest.at("/token_logprobs/" + i).asDouble())
          .isCloseTo(expected.getLogprob(), within(1e-5));
      for (TokenLogprob candidate : expected.getTopLogprobsList()) {
        assertThat(rest.path("top_logprobs").path(i).path(candidate.getText()).asDouble())
            .isCloseTo(candidate.getLogprob(), within(1e-5));
      }
    }
  }

  private static JsonNode post(Cluster cluster, String path, String body) throws Exception {
    try (HttpClient http = HttpClient.newHttpClient()) {
      HttpResponse<String> response =
          http.send(
              HttpRequest.newBuilder(URI.create("http://" + cluster.httpAddress() + path))
                  .POST(HttpRequest.BodyPublishers.ofString(body))
                  .build(),
              HttpResponse.BodyHandlers.ofString());
      assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
      return new ObjectMapper().readTree(response.body());
    }
  }

  private static UserMessage question() {
    return UserMessage.from(ImageContent.from(PICTURE, "image/png"), TextContent.from(QUESTION));
  }

  @Test
  void langChain4jAsksAndStreams(Cluster cluster) throws Exception {
    String url = "http://" + cluster.httpAddress() + "/v1";
    OpenAiChatModel model =
        OpenAiChatModel.builder()
            .baseUrl(url)
            .apiKey("none")
            .modelName("scenes")
            .temperature(0.0)
            .maxRetries(0)
            .build();
    ChatResponse whole = model.chat(question());
    assertThat(whole.aiMessage().text()).isNotBlank();
    assertThat(whole.finishReason()).isEqualTo(dev.langchain4j.model.output.FinishReason.STOP);
    assertThat(whole.tokenUsage().outputTokenCount()).isPositive();

    StringBuilder streamed = new StringBuilder();
    CompletableFuture<ChatResponse> end = new CompletableFuture<>();
    OpenAiStreamingChatModel.builder()
        .baseUrl(url)
        .apiKey("none")
        .modelName("scenes")
        .temperature(0.0)
        .build()
        .chat(
            ChatRequest.builder().messages(question()).build(),
            new StreamingChatResponseHandler() {
              @Override
              public void onPartialResponse(String text) {
                streamed.append(text);
              }

              @Override
              public void onCompleteResponse(ChatResponse response) {
                end.complete(response);
              }

              @Override
              public void onError(Throwable error) {
                end.completeExceptionally(error);
              }
            });
    ChatResponse last = end.get(1, TimeUnit.MINUTES);
    assertThat(streamed).hasToString(whole.aiMessage().text());
    assertThat(last.aiMessage().text()).isEqualTo(whole.aiMessage().text());
    // Of the same prompt, more is in a cache the second time.
    assertThat(last.tokenUsage().totalTokenCount()).isEqualTo(whole.tokenUsage().totalTokenCount());

    ChatRequest unknown = ChatRequest.builder().messages(question()).modelName("other").build();
    assertThatThrownBy(() -> model.chat(unknown)).isInstanceOf(ModelNotFoundException.class);
    ChatRequest hot = ChatRequest.builder().messages(question()).temperature(7.0).build();
    assertThatThrownBy(() -> model.chat(hot))
        .isInstanceOf(InvalidRequestException.class)
        .hasMessageContaining("temperature");
    ClusterAssertions.assertNothingInUse(cluster, FourProcesses.NODES.size());
  }
}
