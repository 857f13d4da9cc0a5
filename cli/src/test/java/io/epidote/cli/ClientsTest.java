package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.proto.v1.SamplingParams;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** The clients that users have, from npm, get the answer that ours gets. */
@ExtendWith(FourProcesses.class)
class ClientsTest {
  private static final Path SCRIPTS = Path.of("src", "test", "js");
  private static final Path PICTURE = Home.model("scenes").resolve("examples/large.png");
  private static final String QUESTION = "describe the picture.";

  @BeforeAll
  static void installClients() throws Exception {
    NpmScripts.install(SCRIPTS);
  }

  @Test
  void theWireContractIsLintClean() throws Exception {
    // buf comes for Linux on x86-64 only, which CI is.
    Path buf = SCRIPTS.resolve("node_modules/@bufbuild/buf-linux-x64/bin/buf").toAbsolutePath();
    assumeTrue(System.getenv("CI") != null || Files.isExecutable(buf), "buf is not installed");
    assertThat(run(Home.folder().resolve("proto"), List.of(buf.toString(), "lint"))).isEmpty();
  }

  /** What the clients got; they run once for all tests. */
  private static @Nullable JsonNode asked;

  private static JsonNode result(Cluster cluster) throws Exception {
    if (asked == null) {
      String output =
          run(
              SCRIPTS,
              List.of(
                  "node",
                  "clients.mjs",
                  cluster.httpAddress(),
                  cluster.grpcAddress(),
                  Home.folder().resolve("proto/src/main/protobuf").toString(),
                  PICTURE.toString(),
                  QUESTION));
      asked = new ObjectMapper().readTree(output);
      ClusterAssertions.assertNothingInUse(cluster, FourProcesses.NODES.size());
    }
    return asked;
  }

  @Test
  void openAiAndGrpcClientsGetTheSameAnswer(Cluster cluster) throws Exception {
    String expected;
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      expected =
          client
              .generate(
                  InferenceClient.question(
                      "",
                      AskCommand.read(List.of(PICTURE)),
                      QUESTION,
                      SamplingParams.newBuilder().setTemperature(0).build()),
                  text -> {})
              .text();
    }
    assertThat(expected).isNotBlank();
    JsonNode result = result(cluster);
    for (String client : List.of("openai", "openaiStream", "grpcProto", "grpcReflection")) {
      assertThat(result.path(client).asText()).as(client).isEqualTo(expected);
    }
    assertThat(result.path("openaiFinish").asText()).isEqualTo("stop");
    assertThat(result.path("usage").path("total_tokens"))
        .isEqualTo(result.path("wholeUsage").path("total_tokens"));
    assertThat(result.at("/usage/total_tokens").asInt())
        .isEqualTo(
            result.at("/usage/prompt_tokens").asInt()
                + result.at("/usage/completion_tokens").asInt())
        .isPositive();
    // The role comes once, with the first token.
    assertThat(result.path("roles")).hasSize(1);
    assertThat(result.at("/roles/0/role").asText()).isEqualTo("assistant");
    assertThat(result.at("/roles/0/text").asText()).isNotEmpty();
  }

  @Test
  void openAiErrorsNameTheField(Cluster cluster) throws Exception {
    JsonNode result = result(cluster);
    assertFailure(result.path("unknownModel"), 404, "NotFoundError", "model", "\"scenes\"");
    assertFailure(result.path("unknownRetrieve"), 404, "NotFoundError", "model", "\"scenes\"");
    assertFailure(result.path("hot"), 400, "BadRequestError", "temperature", "from 0 to 2");
    assertFailure(
        result.path("penalty"), 400, "BadRequestError", "presence_penalty", "from -2 to 2");
    assertFailure(result.path("tools"), 400, "BadRequestError", "tools", "no tool calls");
    assertFailure(
        result.path("audio"),
        400,
        "BadRequestError",
        "messages[0].content[0].type",
        "the model scenes hears nothing: it takes text and pictures;");
    assertThat(result.path("retrieved").asText()).isEqualTo("scenes");
  }

  private static void assertFailure(
      JsonNode failure, int status, String type, String param, String words) {
    assertThat(failure.path("status").asInt()).as(failure.toString()).isEqualTo(status);
    assertThat(failure.path("type").asText()).isEqualTo(type);
    assertThat(failure.path("param").asText()).isEqualTo(param);
    assertThat(failure.path("message").asText()).contains(words);
  }

  @Test
  void logprobsChangeNothingAndAddUp(Cluster cluster) throws Exception {
    JsonNode result = result(cluster);
    JsonNode scored = result.path("scored");
    assertThat(scored.path("text").asText()).isEqualTo(result.path("openai").asText());
    assertThat(scored.path("tokens")).hasSize(scored.path("completionTokens").asInt());
    for (JsonNode token : scored.path("tokens")) {
      assertThat(token.path("top_logprobs")).hasSize(3);
      // Greedy: the likeliest one is the token itself.
      assertThat(token.at("/top_logprobs/0/token")).isEqualTo(token.path("token"));
      assertThat(token.at("/top_logprobs/0/logprob")).isEqualTo(token.path("logprob"));
      double mass = 0;
      for (JsonNode candidate : token.path("top_logprobs")) {
        mass += Math.exp(candidate.path("logprob").asDouble());
      }
      assertThat(mass).isBetween(0.0, 1.00001);
    }
  }

  @Test
  void severalAnswersShareThePromptAndNothingElse(Cluster cluster) throws Exception {
    JsonNode result = result(cluster);
    assertThat(result.path("several")).hasSize(3);
    assertThat(result.path("several")).isEqualTo(result.path("alone"));
    assertThat(result.path("severalStreamed")).isEqualTo(result.path("several"));
    int prompt = result.path("severalPromptTokens").asInt();
    for (int i = 1; i < 3; i++) {
      JsonNode prefill = result.path("severalPrefill").path(i);
      int computed = prefill.path(0).asInt();
      // Of what others computed all full blocks are found; the last token is always computed.
      assertThat(computed).as("prompt tokens computed for answer %d", i).isBetween(1, 16);
      assertThat(prefill.path(1).asInt()).isEqualTo(prompt - computed);
    }
    JsonNode stopped = result.path("stopped");
    assertThat(stopped.path("finish").asText()).isEqualTo("stop");
    String whole = result.path("openai").asText();
    assertThat(stopped.path("text").asText())
        .isEqualTo(whole.substring(0, whole.indexOf(stopped.path("word").asText())));
  }

  @Test
  void completionsContinueEachPrompt(Cluster cluster) throws Exception {
    JsonNode result = result(cluster);
    JsonNode choices = result.path("completions");
    assertThat(choices).hasSize(2);
    for (JsonNode choice : choices) {
      assertThat(choice.at("/logprobs/tokens")).hasSize(4);
      assertThat(choice.at("/logprobs/token_logprobs")).hasSize(4);
      assertThat(choice.at("/logprobs/text_offset")).hasSize(4);
      assertThat(choice.at("/logprobs/top_logprobs/0").size()).isBetween(1, 3);
      assertThat(choice.path("finish_reason").asText()).isEqualTo("length");
    }
    String text = choices.at("/0/text").asText();
    assertThat(text).isNotEmpty();
    assertThat(result.path("echoed").asText()).isEqualTo("a red" + text);
    assertThat(result.path("completionStream").asText()).isEqualTo(text);
    assertThat(result.at("/completionUsage/completion_tokens").asInt()).isEqualTo(4);
    assertThat(result.at("/headers/id").asText()).isEqualTo("js-1");
    assertThat(result.at("/headers/ms").asText()).matches("[0-9]+");
    // The same by KServe, whose whole answers begin with the prompt.
    assertThat(result.path("kserve").asText()).isEqualTo("a red" + text);
    assertThat(result.at("/kserveStream/texts/text").asText()).isEqualTo(text);
  }

  @Test
  void kserveHealthAndReflectionAnswer(Cluster cluster) throws Exception {
    JsonNode result = result(cluster);
    assertThat(result.path("services"))
        .extracting(JsonNode::asText)
        .contains(
            "epidote.v1.Inference", "inference.GRPCInferenceService", "grpc.health.v1.Health");
    assertThat(result.path("health"))
        .extracting(JsonNode::asText)
        .containsExactly("SERVING", "SERVING", "SERVING");
    // NOT_FOUND
    assertThat(result.path("unknownService").asInt()).isEqualTo(5);
    assertThat(result.path("kserveReady").asBoolean()).isTrue();
    assertThat(result.path("kserveInputs"))
        .extracting(JsonNode::asText)
        .contains("text_input", "image", "sampling_parameters");
    assertThat(result.at("/kserveStream/texts/picture").asText()).isNotEmpty();
    assertThat(result.at("/kserveStream/errors/bad").asText()).contains("placeholders");
  }

  private static String run(Path folder, List<String> command) throws Exception {
    Path errors = Files.createTempFile("clients", ".err");
    Process process =
        new ProcessBuilder(command)
            .directory(folder.toFile())
            .redirectError(errors.toFile())
            .start();
    String output = new String(process.getInputStream().readAllBytes());
    assertThat(process.waitFor(2, TimeUnit.MINUTES)).isTrue();
    assertThat(process.exitValue()).as(Files.readString(errors)).isZero();
    return output;
  }
}
