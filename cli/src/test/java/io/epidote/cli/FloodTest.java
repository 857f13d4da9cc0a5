package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.epidote.cli.load.Access;
import io.epidote.cli.load.Arrivals;
import io.epidote.cli.load.LoadLevel;
import io.epidote.cli.load.LoadRun;
import io.epidote.cli.load.LoadServer;
import io.epidote.cli.load.Range;
import io.epidote.cli.load.Slo;
import io.epidote.cli.load.WorkloadOptions;
import io.epidote.cli.load.Workloads;
import io.epidote.node.NodeRuntime;
import io.epidote.router.Router;
import io.epidote.router.access.HttpLimits;
import io.epidote.router.access.KeyFile;
import io.epidote.router.access.Security;
import io.epidote.router.access.TenantLimits;
import io.epidote.router.media.MediaUrls;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.io.IOException;
import java.net.Inet4Address;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Tools that flood a front door or are slow on purpose: limits hold, and another client beside them
 * gets every answer. docs/flood.sh measures the same on a machine that does nothing else.
 */
@Timeout(120)
class FloodTest {
  private static final boolean CI = System.getenv("CI") != null;
  private static final Path SCRIPTS = Home.folder().resolve("cli/src/test/js");
  private static final int MOST = 100;
  private static final String TOO_MANY = "300";

  @TempDir private static Path folder;
  private static final List<NodeRuntime> NODES = new ArrayList<>();
  private static Router router;
  private static String url;
  private static String besideUrl;
  private static String good;
  private static String bad;
  private static Path question;
  private static LoadServer server;
  private static HttpClient http;

  /** What was seen while a tool ran: of the tool, of the router and of the client beside it. */
  private record Seen(double mostConnections, double slow, double tooMany, double busy) {}

  @BeforeAll
  static void start() throws Exception {
    Path keys = folder.resolve("keys.json");
    good = KeyFile.add(keys, "good", null);
    bad = KeyFile.add(keys, "bad", new TenantLimits(2, 0, 0, 0));
    question = folder.resolve("question.json");
    Files.writeString(
        question,
        "{\"max_tokens\":4,\"ignore_eos\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(Home.profile("tile_ms:2,prompt_token_ms:0.01,decode_step_ms:2"));
    router =
        Router.start(
            options
                .router
                .config(
                    options.modelFolder(),
                    "0.0.0.0",
                    options.ports,
                    options.node.tenants,
                    options.node.tls,
                    options.node.roots,
                    options.node.tracing)
                .security(
                    new Security(
                        Optional.empty(),
                        false,
                        Optional.of(keys),
                        false,
                        HttpLimits.DEFAULT
                            .withConnections(MOST, 0)
                            .withPatience(Duration.ofSeconds(1), Duration.ofSeconds(1)),
                        MediaUrls.NONE))
                .build());
    url = "http://127.0.0.1:" + router.httpPort();
    NODES.add(
        NodeLauncher.start(
            new NodeLauncher.Settings(
                NodeSpec.parseList("EPD").getFirst(),
                options.modelFolder(),
                "127.0.0.1",
                "127.0.0.1",
                0,
                List.of("127.0.0.1:" + router.grpcPort()),
                options.node),
            new SimpleMeterRegistry()));
    org.awaitility.Awaitility.await().until(() -> router.ready());
    besideUrl = "http://%s:%d".formatted(otherAddress(), router.httpPort());
    server =
        LoadServer.open(
            new LoadServer.Address(
                besideUrl,
                "chat",
                false,
                Optional.empty(),
                Optional.empty(),
                new Access(Optional.empty(), Optional.of(good)),
                false,
                Duration.ofSeconds(20)));
    http = HttpClient.newHttpClient();
  }

  /** Of this machine, from which the client comes, as tools come from 127.0.0.1. */
  private static String otherAddress() throws IOException {
    Optional<String> address =
        NetworkInterface.networkInterfaces()
            .flatMap(NetworkInterface::inetAddresses)
            .filter(each -> each instanceof Inet4Address && !each.isLoopbackAddress())
            .map(InetAddress::getHostAddress)
            .findFirst();
    assumeTrue(address.isPresent(), "this machine has no address but 127.0.0.1");
    return address.orElseThrow();
  }

  @AfterAll
  static void stop() {
    http.close();
    server.close();
    router.close();
    NODES.forEach(NodeRuntime::close);
  }

  /** The file of keys is read again every two seconds, which a busy machine must not wait for. */
  @BeforeEach
  void somebodyIsServed() throws Exception {
    assertThat(beside(1).failures()).isEmpty();
  }

  private static LoadLevel beside(int requests) throws InterruptedException {
    WorkloadOptions shape =
        new WorkloadOptions(
            null, List.of(), new Range(3, 3), new Range(4, 4), 99, true, 1, false, 7);
    return new LoadRun(server.target(), Workloads.named("random", shape), 7, _ -> {})
        .run(
            new Arrivals.Poisson(20),
            requests,
            new Slo(Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY));
  }

  private static Seen during(String... tool) throws Exception {
    double slow = metric("epidote_http_connections_closed_total{why=\"slow\"} ");
    double tooMany = metric("epidote_http_connections_closed_total{why=\"too_many\"} ");
    double busy = metric("epidote_http_responses_total{code=\"429\"} ");
    Path output = folder.resolve("output.txt");
    Process process =
        new ProcessBuilder(tool)
            .directory(SCRIPTS.toFile())
            .redirectErrorStream(true)
            .redirectOutput(output.toFile())
            .start();
    double most = 0;
    try (ExecutorService client = Executors.newSingleThreadExecutor()) {
      Future<LoadLevel> level = client.submit(() -> beside(50));
      while (!process.waitFor(200, TimeUnit.MILLISECONDS)) {
        most = Math.max(most, metric("epidote_http_connections "));
      }
      assertThat(level.get().failures()).as("of the client beside %s", tool[0]).isEmpty();
      assertThat(level.get().whole()).hasSize(50);
    } finally {
      process.destroyForcibly();
    }
    assertThat(process.exitValue()).as(Files.readString(output)).isZero();
    return new Seen(
        most,
        metric("epidote_http_connections_closed_total{why=\"slow\"} ") - slow,
        metric("epidote_http_connections_closed_total{why=\"too_many\"} ") - tooMany,
        metric("epidote_http_responses_total{code=\"429\"} ") - busy);
  }

  private static double metric(String name) throws IOException, InterruptedException {
    return http.send(
            HttpRequest.newBuilder(URI.create(besideUrl + "/metrics"))
                .header("Authorization", "Bearer " + good)
                .build(),
            BodyHandlers.ofString())
        .body()
        .lines()
        .filter(line -> line.startsWith(name))
        .mapToDouble(line -> Double.parseDouble(line.substring(name.length())))
        .sum();
  }

  @Test
  void h2loadHasNoMoreThanItsShare() throws Exception {
    assumeTrue(CI || NpmScripts.onPath("h2load"), "Debian's nghttp2-client is not installed");
    Seen seen =
        during(
            "h2load",
            "--h1",
            "-t1",
            "-c" + TOO_MANY,
            "-D3",
            "-H",
            "authorization: Bearer " + bad,
            "-H",
            "content-type: application/json",
            "-d",
            question.toString(),
            url + "/v1/chat/completions");
    assertThat(seen.mostConnections()).isBetween(20.0, (double) MOST);
    assertThat(seen.tooMany()).isGreaterThan(100);
    assertThat(seen.busy()).isPositive();
  }

  @Test
  void autocannonHasNoMoreThanItsShare() throws Exception {
    NpmScripts.install(SCRIPTS);
    Seen seen =
        during(
            "node_modules/.bin/autocannon",
            "-c",
            TOO_MANY,
            "-d",
            "3",
            "-m",
            "POST",
            "-H",
            "Authorization=Bearer " + bad,
            "-H",
            "Content-Type=application/json",
            "-i",
            question.toString(),
            url + "/v1/chat/completions");
    assertThat(seen.mostConnections()).isBetween(20.0, (double) MOST);
    assertThat(seen.tooMany()).isGreaterThan(100);
    assertThat(seen.busy()).isPositive();
  }

  /** Fewer than there may be: patience alone ends them. */
  private static Seen slowly(String... how) throws Exception {
    assumeTrue(CI || NpmScripts.onPath("slowhttptest"), "Debian's slowhttptest is not installed");
    List<String> command =
        new ArrayList<>(List.of("slowhttptest", "-c", "60", "-r", "60", "-l", "4", "-p", "3"));
    command.addAll(List.of(how));
    return during(command.toArray(String[]::new));
  }

  @Test
  void slowHeadsAreEnded() throws Exception {
    assertThat(slowly("-H", "-i", "1", "-x", "8", "-t", "GET", "-u", url + "/healthz").slow())
        .isGreaterThanOrEqualTo(60);
  }

  @Test
  void slowBodiesAreEnded() throws Exception {
    assertThat(slowly("-B", "-i", "1", "-x", "8", "-s", "8192", "-u", url + "/healthz").slow())
        .isGreaterThanOrEqualTo(60);
  }

  @Test
  void slowReadersAreEnded() throws Exception {
    // Ten times each connection; its key goes where the tool has only a header's value.
    String accept = "*/*\r\nAuthorization: Bearer " + good;
    String large = url + "/metrics";
    assertThat(
            slowly("-X", "-k", "10", "-w", "1", "-y", "64", "-z", "1", "-m", accept, "-u", large)
                .slow())
        .isGreaterThanOrEqualTo(30);
  }
}
