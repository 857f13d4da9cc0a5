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
    JsonNode result = new ObjectMapper().readTree(output);
    for (String client : List.of("openai", "openaiStream", "grpcProto", "grpcReflection")) {
      assertThat(result.path(client).asText()).as(client).isEqualTo(expected);
    }
    assertThat(result.path("openaiFinish").asText()).isEqualTo("stop");
    assertThat(result.path("usage")).isEqualTo(result.path("wholeUsage"));
    assertThat(result.at("/usage/total_tokens").asInt())
        .isEqualTo(
            result.at("/usage/prompt_tokens").asInt()
                + result.at("/usage/completion_tokens").asInt())
        .isPositive();
    // The role comes once, with the first token.
    assertThat(result.path("roles")).hasSize(1);
    assertThat(result.at("/roles/0/role").asText()).isEqualTo("assistant");
    assertThat(result.at("/roles/0/text").asText()).isNotEmpty();
    assertThat(result.at("/unknownModel/status").asInt()).isEqualTo(404);
    assertThat(result.at("/unknownModel/message").asText()).contains("no-such-model", "scenes");
    assertThat(result.path("services"))
        .extracting(JsonNode::asText)
        .contains("epidote.v1.Inference");
    ClusterAssertions.assertNothingInUse(cluster, FourProcesses.NODES.size());
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
