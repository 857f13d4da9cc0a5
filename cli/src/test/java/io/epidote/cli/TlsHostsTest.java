package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.epidote.cli.chaos.HostNetwork;
import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.v1.SamplingParams;
import io.netty.pkitesting.X509Bundle;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Five hosts with addresses of their own, two routers, and an encode, a prefill and a decode node,
 * which know each other by certificates alone.
 */
class TlsHostsTest {
  private static final List<String> ROUTERS = List.of("router-a", "router-b");
  private static final List<String> NODES = List.of("encode", "prefill", "decode");

  @TempDir Path folder;
  private final TestCertificates authority;
  private final Map<String, ChildProcess> running = new LinkedHashMap<>();

  TlsHostsTest() throws Exception {
    authority = new TestCertificates("first");
  }

  @Test
  void answersAndRefusesAndTakesNewCertificatesUnderLoad() throws Exception {
    assumeTrue(
        "root".equals(System.getProperty("user.name"))
            && Files.isWritable(Path.of("/dev/net/tun"))
            && Files.isExecutable(Path.of("/usr/sbin/ip")),
        "hosts of their own need root, TUN and iproute2");
    List<String> hosts = new ArrayList<>(ROUTERS);
    hosts.addAll(NODES);
    try (HostNetwork network = HostNetwork.make(hosts, 1)) {
      try {
        run(network);
      } finally {
        running.values().forEach(child -> child.process().destroyForcibly());
        running.values().forEach(ChildProcess::close);
      }
    }
  }

  private void run(HostNetwork network) throws Exception {
    give(network, authority, authority.pem(), "1");
    List<String> addresses = start(network);
    ConnectionOptions client = as("client", member("client", authority), authority.pem());
    for (String router : addresses) {
      ClusterStart.awaitNodes(router, NODES.size(), new Progress(), client);
      assertThat(ask(router, client).finished().getTimeline().getTopology()).isEqualTo("E+P+D");
    }
    refusals(network, addresses.getFirst());
    reload(network, addresses);
  }

  private List<String> start(HostNetwork network) {
    List<String> addresses = new ArrayList<>();
    for (String router : ROUTERS) {
      launch(
          network,
          router,
          List.of(
              "router",
              "--host",
              network.address(router),
              "--http-port",
              "8000",
              "--grpc-port",
              "8001",
              "--admin-host",
              network.address(router),
              "--tls-client-auth",
              "all"));
      addresses.add(network.address(router) + ":8001");
    }
    for (String node : NODES) {
      launch(
          network,
          node,
          List.of(
              "node",
              "--name",
              node,
              "--stages",
              node,
              "--host",
              network.address(node),
              "--port",
              "9000",
              "--router",
              addresses.get(0),
              "--router",
              addresses.get(1)));
    }
    running.values().forEach(child -> child.awaitReady(ClusterStart.TIMEOUT));
    return addresses;
  }

  private void launch(HostNetwork network, String host, List<String> command) {
    List<String> arguments = new ArrayList<>(command);
    arguments.addAll(TestCertificates.options(folder.resolve(host)).arguments());
    running.put(host, ChildProcess.start(host, folder, network.on(host), List.of(), arguments));
  }

  /** New certificates for all five, of this authority. */
  private void give(HostNetwork network, TestCertificates from, String trusted, String number)
      throws Exception {
    for (String host : ROUTERS) {
      TestCertificates.write(
          folder.resolve(host),
          from.member(host + number, List.of(network.address(host)), "router"),
          trusted);
    }
    // A node is known by its role: its certificate names no address.
    for (String host : NODES) {
      TestCertificates.write(
          folder.resolve(host), from.member(host + number, List.of(), "node"), trusted);
    }
  }

  private static X509Bundle member(String name, TestCertificates from) throws Exception {
    return from.member(name, List.of());
  }

  private ConnectionOptions as(String name, X509Bundle bundle, String trusted) throws IOException {
    return ConnectionOptions.of(TestCertificates.write(folder.resolve(name), bundle, trusted));
  }

  private static InferenceClient.Answer ask(String router, ConnectionOptions as) {
    try (InferenceClient client = new InferenceClient(router, as)) {
      return client.generate(
          InferenceClient.question(
              "",
              AskCommand.read(List.of(Home.folder().resolve("models/scenes/examples/small.png"))),
              "describe the picture.",
              SamplingParams.newBuilder().setTemperature(0).build()),
          _ -> {});
    }
  }

  private void refusals(HostNetwork network, String router) throws Exception {
    TlsOptions none = new TlsOptions();
    none.ca = folder.resolve("router-a").resolve("ca.pem");
    refused(router, ConnectionOptions.of(none), "router-a", "it shows no certificate");
    TestCertificates strangers = new TestCertificates("strangers");
    refused(
        router,
        as("stranger", member("stranger", strangers), authority.pem()),
        "router-a",
        // A JDK client keeps a certificate to itself that the server says it would not trust.
        "it shows no certificate");
    refused(
        router,
        as("late", authority.expired("late", List.of()), authority.pem()),
        "router-a",
        "its certificate has expired");
    refused(router, ConnectionOptions.plain(), "router-a", "it speaks no TLS");
    // At a node, whose certificate names no host, the client refuses, too: only members go there.
    assertThatThrownBy(
            () -> {
              try (InferenceClient client =
                  new InferenceClient(
                      network.address("decode") + ":9000",
                      as("client", member("client", authority), authority.pem()))) {
                client.load();
              }
            })
        .isInstanceOf(EpidoteException.class);
  }

  private void refused(String address, ConnectionOptions who, String host, String why) {
    assertThatThrownBy(
            () -> {
              try (InferenceClient client = new InferenceClient(address, who)) {
                client.load();
              }
            })
        .isInstanceOf(EpidoteException.class);
    awaitLog(host, why);
  }

  private void awaitLog(String host, String part) {
    await()
        .atMost(Duration.ofSeconds(20))
        .untilAsserted(
            () -> assertThat(Files.readString(folder.resolve(host + ".log"))).contains(part));
  }

  /** First all trust both authorities, then all show what the next one gave; load never stops. */
  private void reload(HostNetwork network, List<String> routers) throws Exception {
    TestCertificates next = new TestCertificates("next");
    String both = authority.pem() + next.pem();
    ConnectionOptions client = as("client", member("client", authority), both);
    AtomicBoolean over = new AtomicBoolean();
    AtomicInteger answered = new AtomicInteger();
    Queue<Throwable> failures = new ConcurrentLinkedQueue<>();
    List<Thread> clients = new ArrayList<>();
    for (String router : routers) {
      clients.add(
          Thread.ofVirtual()
              .start(() -> {
                while (!over.get()) {
                  try {
                    ask(router, client);
                    answered.incrementAndGet();
                  } catch (RuntimeException e) {
                    failures.add(e);
                  }
                }
              }));
    }
    give(network, authority, both, "2");
    awaitTaken("2");
    give(network, next, both, "3");
    awaitTaken("3");
    int soFar = answered.get();
    await().atMost(Duration.ofSeconds(30)).until(() -> answered.get() >= soFar + 10);
    over.set(true);
    for (Thread each : clients) {
      each.join();
    }
    assertThat(failures).isEmpty();
    System.out.println(
        "certificates changed twice under load: " + answered + " answers, no failure");
  }

  private void awaitTaken(String number) {
    for (String host : running.keySet()) {
      awaitLog(host, "Has read its certificates again and shows CN=" + host + number + ",");
    }
  }
}
