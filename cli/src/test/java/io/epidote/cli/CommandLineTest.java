package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.proto.v1.Stage;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/** What a person types, and what they are told when it cannot work. */
class CommandLineTest {
  @TempDir Path folder;

  private record Result(int status, String err) {}

  private static Result run(String... arguments) {
    StringWriter err = new StringWriter();
    CommandLine command = EpidoteCommand.commandLine(arguments).setErr(new PrintWriter(err, true));
    return new Result(command.execute(arguments), err.toString());
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "demo", "up", "ask", "status", "eval", "router", "node", "profile"})
  void helpHasExamples(String command) {
    StringWriter out = new StringWriter();
    CommandLine line = EpidoteCommand.commandLine(command).setOut(new PrintWriter(out, true));
    int status = command.isEmpty() ? line.execute("--help") : line.execute(command, "--help");
    assertThat(status).isZero();
    assertThat(out.toString()).contains("Usage: epidote " + command, "Examples:");
  }

  /** Picocli writes what it cannot format as it is, and a warning. */
  @Test
  void helpHasNoBrokenFormats() {
    PrintStream usual = System.err;
    ByteArrayOutputStream warnings = new ByteArrayOutputStream();
    System.setErr(new PrintStream(warnings, true, StandardCharsets.UTF_8));
    try {
      assertThat(commands(EpidoteCommand.commandLine()).map(CommandLine::getUsageMessage))
          .hasSizeGreaterThan(30)
          .allSatisfy(help -> assertThat(help).contains("Usage: epidote"));
    } finally {
      System.setErr(usual);
    }
    assertThat(warnings.toString(StandardCharsets.UTF_8)).doesNotContain("Could not format");
  }

  private static Stream<CommandLine> commands(CommandLine command) {
    return Stream.concat(
        Stream.of(command),
        command.getSubcommands().values().stream().flatMap(CommandLineTest::commands));
  }

  @Test
  void aWrongWordIsExplained() {
    assertThat(run("statsu").err()).contains("status");
    Result option = run("eval", "scenes", "--cuont", "5");
    assertThat(option.status()).isEqualTo(2);
    assertThat(option.err()).contains("--count");
    assertThat(run("up", "--kv-cache", "64").err()).contains("64MiB");
  }

  @Test
  void whatAnEmulatedEngineNeedsIsNamed() {
    assertThat(run("up", "--engine", "emulated").err()).contains("--profile");
    assertThat(run("up", "--profile", "tile_ms:3").err()).contains("--engine emulated");
    assertThat(run("up", "--engine", "emulated", "--profile", "nothing").err()).contains("nothing");
    assertThat(run("bench", "compare", "--profile", "tile_ms:3").err()).contains("model");
  }

  @Test
  void nodesAreLettersOfTheirStages() {
    assertThat(NodeSpec.parseList("E,ep,D,D"))
        .extracting(NodeSpec::name, NodeSpec::stageWords)
        .containsExactly(
            org.assertj.core.api.Assertions.tuple("encode-0", "encode"),
            org.assertj.core.api.Assertions.tuple("encode-prefill-0", "encode,prefill"),
            org.assertj.core.api.Assertions.tuple("decode-0", "decode"),
            org.assertj.core.api.Assertions.tuple("decode-1", "decode"));
    assertThat(NodeSpec.parseStages("decode,encode"))
        .containsExactly(Stage.STAGE_ENCODE, Stage.STAGE_DECODE);
    assertThatThrownBy(() -> NodeSpec.parseList("E,X"))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("'X'")
        .hasMessageContaining("E,P,D");
    assertThatThrownBy(() -> NodeSpec.parseStages("encode,think"))
        .hasMessageContaining("think")
        .hasMessageContaining("encode,prefill,decode");
  }

  @Test
  void aRouterThatIsNotThereIsNamed() {
    Result result = run("status", "--router", "localhost:1");
    assertThat(result.status()).isEqualTo(1);
    assertThat(result.err()).contains("localhost:1", "./epidote up");
  }

  @Test
  void aPictureThatIsNotThereIsNamed() {
    Result result = run("ask", "--image", "no/such.png", "what is this?");
    assertThat(result.status()).isEqualTo(1);
    assertThat(result.err()).contains("no/such.png");
  }

  @Test
  void aFolderThatIsNoModelIsNamed() {
    Result result = run("up", "--model", folder.toString(), "--http-port", "0", "--grpc-port", "0");
    assertThat(result.status()).isEqualTo(1);
    assertThat(result.err()).contains("config.json", folder.toString());
  }

  @Test
  void aPortInUseIsNamedWithItsOption() throws Exception {
    try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
      String port = Integer.toString(taken.getLocalPort());
      Result http = run("up", "--http-port", port, "--grpc-port", "0");
      assertThat(http.status()).isEqualTo(1);
      assertThat(http.err()).contains(port, "--http-port");
      Result grpc = run("up", "--http-port", "0", "--grpc-port", port);
      assertThat(grpc.err()).contains(port, "--grpc-port");
    }
  }

  @Test
  void aMissingStageIsNamedWithWhatToStart() throws Exception {
    try (Cluster cluster =
            LocalCluster.start(
                new ClusterOptions().onAnyPort(), NodeSpec.parseList("E,P"), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      assertThatThrownBy(() ->
              client.generate(
                  InferenceClient.question(
                      "",
                      List.of(),
                      "hello",
                      io.epidote.proto.v1.SamplingParams.getDefaultInstance()),
                  text -> {}))
          .isInstanceOf(io.epidote.engine.error.EpidoteException.Unavailable.class)
          .hasMessageContaining("decode");
      ClusterAssertions.assertNothingInUse(cluster, 2);
    }
  }
}
