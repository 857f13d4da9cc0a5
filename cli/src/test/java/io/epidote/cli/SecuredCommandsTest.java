package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.router.access.KeyFile;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What an operator runs, against a router that wants a certificate and a key of everybody. */
@Timeout(120)
class SecuredCommandsTest {
  private static final List<String> HERE = List.of("127.0.0.1");
  private static final String DEVICE = "tile_ms:2,prompt_token_ms:0.01,decode_step_ms:2";

  @TempDir private static Path folder;
  private static Path keys;
  private static Path key;
  private static LocalCluster cluster;

  @BeforeAll
  static void start() throws Exception {
    TestCertificates authority = new TestCertificates("cluster");
    keys = folder.resolve("keys.json");
    key = Files.writeString(folder.resolve("key"), KeyFile.add(keys, "operations", null) + "\n");
    TlsOptions member =
        TestCertificates.write(
            folder.resolve("member"),
            authority.member("all", HERE, "router", "node"),
            authority.pem());
    TestCertificates.write(
        folder.resolve("user"), authority.member("somebody", HERE), authority.pem());
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.tls = member;
    options.node.emulation.emulate(Home.profile(DEVICE));
    options.router.security.clientAuth = "all";
    options.router.security.apiKeys = keys;
    options.metricsPort = 0;
    cluster = LocalCluster.start(options, NodeSpec.parseList("E,P,D"), new Progress());
  }

  @AfterAll
  static void stop() {
    cluster.close();
  }

  private static String file(String name) {
    return folder.resolve(name).toString();
  }

  private static List<String> asSomebody(String... arguments) {
    List<String> command = new ArrayList<>(List.of(arguments));
    command.addAll(
        List.of(
            "--tls-ca",
            file("user/ca.pem"),
            "--tls-cert",
            file("user/cert.pem"),
            "--tls-key",
            file("user/key.pem")));
    return command;
  }

  private static List<String> withKey(List<String> command) {
    List<String> all = new ArrayList<>(command);
    all.addAll(List.of("--api-key-file", key.toString()));
    return all;
  }

  /** What a command prints on standard output. */
  private static JsonNode run(int exit, List<String> command) throws Exception {
    PrintStream out = System.out;
    ByteArrayOutputStream printed = new ByteArrayOutputStream();
    System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
    try {
      String[] words = command.toArray(String[]::new);
      assertThat(EpidoteCommand.commandLine(words).execute(words)).isEqualTo(exit);
    } finally {
      System.setOut(out);
    }
    return new ObjectMapper().readTree(printed.toString(StandardCharsets.UTF_8));
  }

  @Test
  void topLooks() throws Exception {
    List<String> top = asSomebody("top", "--json", "--router", cluster.httpAddress());
    assertThat(run(0, withKey(top)).path("figures").path("nodes").asInt()).isEqualTo(3);
    run(1, top);
    run(1, withKey(List.of("top", "--json", "--router", cluster.httpAddress())));
  }

  @Test
  void evalAsks() throws Exception {
    JsonNode figures =
        run(
                0,
                withKey(
                    asSomebody(
                        "eval",
                        "scenes",
                        "--count",
                        "2",
                        "--json",
                        "--router",
                        cluster.grpcAddress())))
            .path("figures");
    assertThat(figures.path("count").asInt()).isEqualTo(2);
  }

  @Test
  void benchServeMeasuresOverHttpAndGrpc() throws Exception {
    for (List<String> way : List.of(List.<String>of(), List.of("--grpc"))) {
      List<String> command =
          asSomebody(
              "bench",
              "serve",
              "--url",
              "https://" + cluster.httpAddress(),
              "--router",
              cluster.grpcAddress(),
              "--clients",
              "2",
              "--requests",
              "6",
              "--warm-up",
              "1",
              "--input-tokens",
              "4",
              "--output-tokens",
              "4",
              "--json");
      command.addAll(way);
      JsonNode figures = run(0, withKey(command)).path("figures");
      assertThat(figures.path("requests").asInt()).isEqualTo(6);
      assertThat(figures.path("errors").asInt(-1)).isZero();
      // The nodes were watched, too: over gRPC with the same certificates and key.
      assertThat(figures.has("memory_use_mib")).isTrue();
    }
  }

  @Test
  void chaosHasAClusterThatWantsThem() throws Exception {
    List<String> command =
        new ArrayList<>(
            List.of(
                "chaos",
                "--nodes",
                "EPD,EPD",
                "--engine",
                "emulated",
                "--profile",
                DEVICE,
                "--faults",
                "kill:encode@500ms",
                "--for",
                "2s",
                "--distinct",
                "4",
                "--json",
                "--api-keys",
                keys.toString(),
                "--tls-client-auth",
                "all",
                "--tls-ca",
                file("member/ca.pem"),
                "--tls-cert",
                file("member/cert.pem"),
                "--tls-key",
                file("member/key.pem")));
    JsonNode report = run(0, withKey(command));
    JsonNode figures = report.path("figures");
    assertThat(figures.path("faults").asInt()).isEqualTo(1);
    assertThat(figures.path("completed_exact").asInt())
        .as(report.toString())
        .isEqualTo(figures.path("requests").asInt())
        .isPositive();
  }

  @Test
  void prometheusScrapesWithTheConfigurationThatShips() throws Exception {
    String own =
        Prometheus.shipped("secured.yml")
            .replace("ca_file: ca.pem", "ca_file: " + file("user/ca.pem"))
            .replace("monitoring.pem", file("user/cert.pem"))
            .replace("monitoring.key", file("user/key.pem"))
            .replace("credentials_file: api-key", "credentials_file: " + key)
            .replace("localhost:8000", cluster.httpAddress())
            .replaceAll(
                "\\[\"localhost:9100\".*]",
                "[\"" + String.join("\", \"", cluster.metricsAddresses().values()) + "\"]");
    assertThat(own).doesNotContain("localhost");
    try (Prometheus prometheus = new Prometheus(own, folder)) {
      prometheus.awaitScrapes(4);
    }
  }
}
