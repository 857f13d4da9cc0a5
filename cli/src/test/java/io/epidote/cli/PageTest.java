package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.proto.v1.SamplingParams;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** The router's page in a real browser, and the same in a terminal, on four real processes. */
@ExtendWith(FourProcesses.class)
class PageTest {
  private static final Path SCRIPTS = Path.of("src", "test", "js");
  private static final Path PICTURE = Home.model("scenes").resolve("examples/large.png");
  private static final String QUESTION = "describe the picture.";
  private static final String SOMEBODY_ELSES = "which picture has zirconium?";

  @TempDir private Path folder;

  @Test
  void peopleAskInTheBrowserAndSeeWhereTheTimeWent(Cluster cluster) throws Exception {
    boolean ci = System.getenv("CI") != null;
    assumeTrue(ci || NpmScripts.onPath("chromium"), "chromium is not installed");
    NpmScripts.install(SCRIPTS);
    String expected;
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      SamplingParams greedy = SamplingParams.newBuilder().setTemperature(0).build();
      expected = ask(client, QUESTION, greedy);
      ask(client, SOMEBODY_ELSES, greedy);
    }
    JsonNode found =
        run(
            List.of(
                "node",
                "page.mjs",
                "http://" + cluster.httpAddress() + "/",
                PICTURE.toString(),
                QUESTION));

    assertThat(texts(found, "nodes")).containsExactly("decode-0", "encode-0", "prefill-0");
    assertThat(texts(found, "models")).contains("scenes");
    // The answer is that of any client, came bit by bit, and has its timeline.
    assertThat(found.path("answer").asText()).isEqualTo(expected);
    assertThat(found.path("grown").asInt()).isGreaterThan(2);
    assertThat(found.path("phase").asText()).isEqualTo("scenes has answered.");
    assertThat(texts(found, "stages")).containsExactly("encode", "prefill", "decode");
    assertThat(found.path("bars").asInt()).isGreaterThanOrEqualTo(2);
    assertThat(found.path("measures").asText()).contains("first token", "prompt", "of media");
    // It is among the last requests.
    assertThat(found.path("expanded").asText()).isEqualTo("true");
    assertThat(found.path("detail").asText()).contains("prefill-0", "decode-0", "E+P+D");
    assertThat(found.path("closed").asInt(-1)).isZero();
    assertThat(texts(found, "charts"))
        .hasSize(6)
        .anyMatch(label -> label.matches("Time to first token, last: p50 .* ms.*"));
    assertThat(found.path("body").asText()).doesNotContain("zirconium");

    assertThat(found.path("removed").asInt(-1)).isZero();
    assertThat(found.path("pictures").asInt()).isEqualTo(2);
    assertThat(found.path("noPicture").asText()).contains("notes.txt", "PNG");
    assertThat(found.path("stoppable").asBoolean()).isTrue();
    assertThat(found.path("stopProblem").asText()).isEmpty();
    assertThat(found.path("refused").asText()).contains("temperature", "HTTP 400");
    assertThat(found.path("role").asText()).isEqualTo("alert");

    // Nothing is asked of another host, nothing goes wrong unseen.
    assertThat(texts(found, "hosts")).containsOnly(cluster.httpAddress(), "blob:");
    assertThat(texts(found, "console")).isEmpty();
    // Keys alone are enough, one sees where one is, and everything has a name and can be read.
    assertThat(texts(found, "stops"))
        .contains("Playground", "Nodes", "model", "files", "question", "send");
    assertThat(texts(found, "unseen")).isEmpty();
    assertThat(found.path("controls").asInt()).isGreaterThan(15);
    assertThat(texts(found, "unnamed")).isEmpty();
    assertThat(texts(found, "faint")).isEmpty();
    assertThat(found.path("light").asText()).isNotEqualTo(found.path("dark").asText());
    assertThat(texts(found, "wide")).isEmpty();
    ClusterAssertions.assertNothingInUse(cluster, FourProcesses.NODES.size());
  }

  @Test
  void scriptsReadTop(Cluster cluster) throws Exception {
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      ask(client, SOMEBODY_ELSES, SamplingParams.getDefaultInstance());
    }
    JsonNode report = new ObjectMapper().readTree(top("--router", cluster.httpAddress(), "--json"));
    assertThat(report.path("command").asText()).isEqualTo("top");
    assertThat(report.at("/figures/nodes").asInt()).isEqualTo(3);
    assertThat(report.at("/figures/requests_running").asInt(-1)).isZero();
    assertThat(report.at("/rows/0/node").asText()).isEqualTo("decode-0");
    assertThat(report.at("/rows/0/kv_blocks_total").asInt()).isPositive();
    assertThat(top("--router", "http://" + cluster.httpAddress() + "/", "--once"))
        .contains("encode-0", "ready", "E P D compute", "DD")
        .doesNotContain("zirconium", "\u001b");
  }

  @Test
  void topKeepsATerminalAsItWas(Cluster cluster) throws Exception {
    assumeTrue(NpmScripts.onPath("script"), "script is not installed");
    // A terminal of 60 columns, in which somebody presses q after a while.
    String command =
        "stty rows 20 cols 60; stty -g; '%s/bin/java' -cp '%s' --enable-native-access=ALL-UNNAMED io.epidote.cli.EpidoteCommand top --router %s; echo ended $?; stty -g"
            .formatted(
                System.getProperty("java.home"),
                System.getProperty("java.class.path"),
                cluster.httpAddress());
    Process terminal =
        new ProcessBuilder("script", "-qec", command, "/dev/null")
            .redirectErrorStream(true)
            .start();
    StringBuilder shown = new StringBuilder();
    byte[] part = new byte[1 << 16];
    boolean pressed = false;
    int read;
    while ((read = terminal.getInputStream().read(part)) > 0) {
      shown.append(new String(part, 0, read, StandardCharsets.UTF_8));
      if (!pressed && shown.indexOf("decode-0") >= 0) {
        pressed = true;
        terminal.getOutputStream().write('q');
        terminal.getOutputStream().flush();
      }
    }
    assertThat(terminal.waitFor(20, TimeUnit.SECONDS)).isTrue();
    String all = shown.toString();
    assertThat(all).contains("\u001b[?1049h", "\u001b[?1049l", "ended 0", "decode-0");
    List<String> settings =
        all.lines().filter(line -> line.matches("[0-9a-f]+(:[0-9a-f]+){10,}")).toList();
    assertThat(settings).hasSize(2);
    assertThat(settings.get(0)).isEqualTo(settings.get(1));
  }

  @Test
  void topSaysWhatIsWrong() {
    assertThat(failing("top", "--router", "127.0.0.1:1", "--once"))
        .contains("No router answers", "epidote up");
    assertThat(failing("top", "--router", "not an address", "--once")).contains("HOST:PORT");
    assertThat(failing("top", "--interval", "0")).contains("--interval 0s", "expected");
  }

  private static String failing(String... arguments) {
    var line = EpidoteCommand.commandLine(arguments);
    var errors = new java.io.StringWriter();
    line.setErr(new java.io.PrintWriter(errors));
    assertThat(line.execute(arguments)).isNotZero();
    return errors.toString();
  }

  private static String ask(InferenceClient client, String question, SamplingParams sampling) {
    return client
        .generate(
            InferenceClient.question("", AskCommand.read(List.of(PICTURE)), question, sampling),
            text -> {})
        .text();
  }

  private static String top(String... arguments) {
    List<String> all = new ArrayList<>(List.of("top"));
    all.addAll(List.of(arguments));
    PrintStream before = System.out;
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
    try {
      String[] array = all.toArray(String[]::new);
      assertThat(EpidoteCommand.commandLine(array).execute(array)).isZero();
    } finally {
      System.setOut(before);
    }
    return out.toString(StandardCharsets.UTF_8);
  }

  private static List<String> texts(JsonNode found, String name) {
    List<String> texts = new ArrayList<>();
    found.path(name).forEach(text -> texts.add(text.asText()));
    return texts;
  }

  private JsonNode run(List<String> command) throws Exception {
    Path errors = folder.resolve("page.err");
    Process process =
        new ProcessBuilder(command)
            .directory(SCRIPTS.toFile())
            .redirectError(errors.toFile())
            .start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor(2, TimeUnit.MINUTES)).isTrue();
    assertThat(process.exitValue()).as(Files.readString(errors)).isZero();
    return new ObjectMapper().readTree(output);
  }
}
