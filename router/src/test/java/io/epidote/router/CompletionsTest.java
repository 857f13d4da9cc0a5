package io.epidote.router;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.proto.v1.GetLoadRequest;
import io.epidote.router.ScriptedNode.Fail;
import io.epidote.router.ScriptedNode.Stall;
import io.epidote.router.ScriptedNode.Step;
import io.grpc.Status;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Text completions, tokens, and several answers of one request, from the socket to the stages. */
class CompletionsTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** More than a block, so that a prefix cache has something to find. */
  private static final String LONG = "a prompt of more than one block";

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
          assertThat(inFlight()).isZero();
        });
    cluster.nodes().forEach(ScriptedNode::reset);
  }

  @AfterAll
  static void stop() {
    cluster.close();
  }

  private static int inFlight() {
    return cluster.inference().getLoad(GetLoadRequest.getDefaultInstance()).getRequestsInFlight();
  }

  private static HttpResponse<String> post(String path, String body) throws Exception {
    return cluster.http.send(request(path, body), BodyHandlers.ofString());
  }

  private static HttpRequest request(String path, String body) {
    return HttpRequest.newBuilder(cluster.uri(path))
        .timeout(Duration.ofSeconds(20))
        .POST(HttpRequest.BodyPublishers.ofString(body))
        .build();
  }

  private static HttpResponse<String> complete(String fields) throws Exception {
    return post("/v1/completions", "{" + fields + "}");
  }

  private static JsonNode json(HttpResponse<String> response) throws Exception {
    assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
    return JSON.readTree(response.body());
  }

  private static List<JsonNode> chunks(HttpResponse<String> response) throws Exception {
    List<JsonNode> chunks = new ArrayList<>();
    for (String event : response.body().split("\n\n")) {
      assertThat(event).startsWith("data: ");
      if (!event.equals("data: [DONE]")) {
        chunks.add(JSON.readTree(event.substring(6)));
      }
    }
    return chunks;
  }

  @Test
  void aPromptIsContinued() throws Exception {
    HttpResponse<String> response = complete("\"prompt\":\"hi\",\"model\":\"test-model\"");
    JsonNode root = json(response);
    assertThat(root.get("id").asText()).startsWith("cmpl-");
    assertThat(root.get("object").asText()).isEqualTo("text_completion");
    assertThat(root.at("/choices/0/text").asText()).isEqualTo("hello world");
    assertThat(root.at("/choices/0/finish_reason").asText()).isEqualTo("stop");
    assertThat(root.at("/choices/0/logprobs").isNull()).isTrue();
    assertThat(root.at("/usage/prompt_tokens").asInt()).isEqualTo(2);
    assertThat(root.at("/usage/completion_tokens").asInt()).isEqualTo(12);
    assertThat(response.headers().firstValueAsLong("openai-processing-ms")).isPresent();
    assertThat(response.headers().firstValue("x-request-id")).isPresent();
    // The text is used as it is, and OpenAI's default is 16 tokens.
    assertThat(cluster.prefill.prefills.getFirst().getTokenIdsList())
        .containsExactly((int) 'h', (int) 'i');
    assertThat(cluster.prefill.prefills.getFirst().getSampling().getMaxTokens()).isEqualTo(16);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void severalPromptsAreAnsweredInTheirPlaces(boolean stream) throws Exception {
    HttpResponse<String> response =
        complete(
            "\"prompt\":[\"ab\",[99,100,101],\"f\"],\"n\":2,\"echo\":true,\"seed\":7,\"timeline\":true,\"stream_options\":{\"include_usage\":true},\"stream\":"
                + stream);
    String[] texts = new String[6];
    Arrays.fill(texts, "");
    JsonNode usage;
    if (stream) {
      List<JsonNode> chunks = chunks(response);
      for (JsonNode chunk : chunks) {
        JsonNode choice = chunk.at("/choices/0");
        if (!choice.isMissingNode()) {
          texts[choice.get("index").asInt()] += choice.get("text").asText();
        }
      }
      usage = chunks.getLast().get("usage");
    } else {
      JsonNode root = json(response);
      for (int i = 0; i < 6; i++) {
        assertThat(root.at("/choices/" + i + "/index").asInt()).isEqualTo(i);
        assertThat(root.at("/choices/" + i + "/timeline/stages").isEmpty()).isFalse();
        texts[i] = root.at("/choices/" + i + "/text").asText();
      }
      usage = root.get("usage");
    }
    assertThat(texts)
        .containsExactly(
            "abhello world",
            "abhello world",
            "cdehello world",
            "cdehello world",
            "fhello world",
            "fhello world");
    // Each prompt counts once, each answer for itself.
    assertThat(usage.get("prompt_tokens").asInt()).isEqualTo(6);
    assertThat(usage.get("completion_tokens").asInt()).isEqualTo(72);
    assertThat(cluster.prefill.prefills)
        .extracting(start -> start.getSampling().getSeed())
        .containsExactlyInAnyOrder(7L, 8L, 7L, 8L, 7L, 8L);
  }

  @Test
  void onePromptThatFailsEndsAllAndIsTold() throws Exception {
    cluster.decode.script.put(
        Step.TOKENS, new Fail(Status.INVALID_ARGUMENT.withDescription("bad")));
    HttpResponse<String> response = complete("\"prompt\":[\"ab\",\"cd\",\"ef\"]");
    assertThat(response.statusCode()).isEqualTo(400);
    assertThat(response.body()).contains("bad");
  }

  @Test
  void aClientThatGoesEndsAllItsPrompts() throws Exception {
    cluster.decode.script.put(Step.TOKENS, new Stall());
    CompletableFuture<HttpResponse<String>> call =
        cluster.http.sendAsync(
            request("/v1/completions", "{\"prompt\":[\"ab\",\"cd\",\"ef\"]}"),
            BodyHandlers.ofString());
    await().until(() -> cluster.decode.stillOpen() == 3);
    call.cancel(true);
    await().until(() -> cluster.decode.cancelled.get() == 3);
  }

  @Test
  void morePromptsThanTheRouterTakesAreRefusedAsOne() throws Exception {
    String prompts = "\"ab\",".repeat(63) + "\"ab\"";
    cluster.decode.script.put(Step.TOKENS, new Stall());
    HttpResponse<String> response = complete("\"prompt\":[" + prompts + "]");
    assertThat(response.statusCode()).isEqualTo(429);
    assertThat(response.body()).contains("requests are at work");
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void logprobsAreListsOfTheSameLength(boolean stream) throws Exception {
    HttpResponse<String> response =
        complete("\"prompt\":\"hi\",\"logprobs\":2,\"max_tokens\":3,\"stream\":" + stream);
    List<String> tokens = new ArrayList<>();
    List<Integer> offsets = new ArrayList<>();
    for (JsonNode root : stream ? chunks(response) : List.of(json(response))) {
      JsonNode logprobs = root.at("/choices/0/logprobs");
      logprobs.path("tokens").forEach(token -> tokens.add(token.asText()));
      logprobs.path("text_offset").forEach(offset -> offsets.add(offset.asInt()));
      for (int i = 0; i < logprobs.path("tokens").size(); i++) {
        assertThat(logprobs.at("/token_logprobs/" + i).asDouble()).isEqualTo(-0.5);
        assertThat(
                logprobs
                    .path("top_logprobs")
                    .path(i)
                    .path(logprobs.at("/tokens/" + i).asText())
                    .asDouble())
            .isEqualTo(-0.5);
      }
    }
    assertThat(tokens).containsExactly("h", "e", "l");
    assertThat(offsets).containsExactly(0, 1, 2);
    assertThat(cluster.prefill.prefills.getFirst().getSampling().getTopLogprobs()).isEqualTo(2);
  }

  @Test
  void anAnswerEndsBeforeAStopToken() throws Exception {
    JsonNode root =
        json(complete("\"prompt\":\"hi\",\"stop_token_ids\":[120,%d]".formatted((int) 'w')));
    assertThat(root.at("/choices/0/text").asText()).isEqualTo("hello ");
    assertThat(root.at("/choices/0/finish_reason").asText()).isEqualTo("stop");
    assertThat(root.at("/usage/completion_tokens").asInt()).isEqualTo(7);
  }

  @Test
  void aPromptOfSeveralAnswersIsPrefilledForTheFirstOneFirst() throws Exception {
    cluster.prefill.script.put(Step.FIRST_TOKEN, new Stall());
    CompletableFuture<HttpResponse<String>> call =
        cluster.http.sendAsync(
            request("/v1/completions", "{\"prompt\":\"%s\",\"n\":3}".formatted(LONG)),
            BodyHandlers.ofString());
    await().until(() -> cluster.prefill.stillOpen() == 1);
    assertThat(cluster.prefill.prefills).hasSize(1);
    call.cancel(true);
    await().until(() -> cluster.prefill.stillOpen() == 0);
    cluster.prefill.reset();
    JsonNode root = json(complete("\"prompt\":\"%s\",\"n\":3".formatted(LONG)));
    assertThat(root.get("choices")).hasSize(3);
    assertThat(cluster.prefill.prefills).hasSize(3);
    // Shorter than a block, a prompt cannot be found again: nothing to wait for.
    cluster.prefill.reset();
    cluster.prefill.script.put(Step.FIRST_TOKEN, new Stall());
    CompletableFuture<HttpResponse<String>> together =
        cluster.http.sendAsync(
            request("/v1/completions", "{\"prompt\":\"hi\",\"n\":3}"), BodyHandlers.ofString());
    await().until(() -> cluster.prefill.stillOpen() == 3);
    together.cancel(true);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "`` | prompt | is missing",
        "\"prompt\":\"\" | prompt | is empty",
        "\"prompt\":[] | prompt | 1 to 64",
        "\"prompt\":7 | prompt | a string, a list of strings",
        "\"prompt\":[\"a\",7] | prompt[1] | a string, a list of strings",
        "\"prompt\":[\"a\",\"\"] | prompt[1] | is empty",
        "\"prompt\":[[]] | prompt[0] | at least one",
        "\"prompt\":[1,256] | prompt[1] | from 0 to 255",
        "\"prompt\":[1,-1] | prompt[1] | from 0 to 255",
        "\"prompt\":[1,\"a\"] | prompt[1] | whole number",
        "\"prompt\":\"a\",\"logprobs\":21 | logprobs | from 0 to 20",
        "\"prompt\":\"a\",\"logprobs\":true | logprobs | whole number",
        "\"prompt\":\"a\",\"logprobs\":1,\"echo\":true | echo | beside logprobs",
        "\"prompt\":\"a\",\"max_tokens\":0 | max_tokens | from 1",
        "\"prompt\":\"a\",\"suffix\":\"b\" | suffix | filled in",
        "\"prompt\":\"a\",\"best_of\":3 | best_of | use n",
        "\"prompt\":\"a\",\"stop_token_ids\":5 | stop_token_ids | a list",
        "\"prompt\":\"a\",\"stop_token_ids\":[-1] | stop_token_ids[0] | from 0",
      })
  void whatCannotBeIsNamed(String fields, String param, String words) throws Exception {
    HttpResponse<String> response = complete(fields);
    assertThat(response.statusCode()).isEqualTo(400);
    JsonNode error = JSON.readTree(response.body()).get("error");
    assertThat(error.get("param").asText()).isEqualTo(param);
    assertThat(error.get("message").asText()).contains(words);
  }

  @Test
  void textsBecomeTokensAndTokensTexts() throws Exception {
    JsonNode text = json(post("/tokenize", "{\"prompt\":\"hi!\",\"return_token_strs\":true}"));
    assertThat(text)
        .isEqualTo(
            JSON.readTree(
                "{\"count\":3,\"max_model_len\":200,\"tokens\":[104,105,33],\"token_strs\":[\"h\",\"i\",\"!\"]}"));
    JsonNode chat = json(post("/tokenize", TestCluster.ask("hi", "")));
    assertThat(chat.get("tokens")).isEqualTo(JSON.readTree("[104,105]"));
    assertThat(json(post("/detokenize", "{\"tokens\":[104,105]}")).get("prompt").asText())
        .isEqualTo("hi");
    assertThat(post("/detokenize", "{\"tokens\":[104,300]}").body()).contains("tokens[1]");
    assertThat(post("/tokenize", "{}").body()).contains("prompt: is missing");
    assertThat(post("/tokenize", TestCluster.askPicture(1, "")).body())
        .contains("messages: has media");
  }

  @Test
  void aModelIsToldWhatItCannotHear() throws Exception {
    HttpResponse<String> response =
        post(
            "/v1/chat/completions",
            "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"aGk=\",\"format\":\"wav\"}}]}]}");
    assertThat(response.statusCode()).isEqualTo(400);
    JsonNode error = JSON.readTree(response.body()).get("error");
    assertThat(error.get("param").asText()).isEqualTo("messages[0].content[0].type");
    assertThat(error.get("message").asText())
        .contains("the model test-model hears nothing: it takes text and pictures;");
  }
}
