package io.epidote.cli;

import static io.epidote.kubernetes.ApiServer.endpoint;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.kubernetes.ApiServer;
import io.epidote.kubernetes.KubernetesView;
import io.epidote.node.NodeRuntime;
import io.epidote.node.discovery.ClusterView;
import io.epidote.node.discovery.Peer;
import io.epidote.proto.v1.RoleDecision;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.proto.v1.SwitchRequest;
import io.epidote.router.Router;
import io.epidote.router.RouterConfig;
import io.fabric8.kubernetes.client.KubernetesClient;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.Timeout;

/**
 * Two routers side by side and an API server of Kubernetes: one finds nodes, and nodes find
 * routers, by EndpointSlices; one of the routers has the Lease. Every process has an address of the
 * loopback interface, as pods have addresses.
 */
@Timeout(60)
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
class SeveralRoutersTest {
  private static final Duration LEASE_TIME = Duration.ofSeconds(5);
  private static final Duration SOON = Duration.ofSeconds(1);
  private static final String ROUTERS = "epidote-routers";
  private static final String NODES = "epidote-nodes";
  private static final List<String> HOSTS = List.of("127.0.0.11", "127.0.0.12");
  private static final int TOKENS = 20;

  private static final Predicate<String> WOULD_SWITCH =
      verdict -> verdict.contains("to decode") && verdict.endsWith("but another router leads");

  private static ApiServer server;
  private static boolean firstStopped;
  private static final List<Router> routers = new ArrayList<>();
  private static final List<KubernetesClient> routerClients = new ArrayList<>();
  private static final List<ClusterView> views = new ArrayList<>();
  private static final List<NodeRuntime> nodes = new ArrayList<>();

  /** Hosts by the nodes' names. */
  private static final Map<String, String> hosts = new LinkedHashMap<>();

  @BeforeAll
  static void start() {
    server = new ApiServer();
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(Home.profile("tile_ms:2,prompt_token_ms:0.01,decode_step_ms:4"));
    // Only what the test asks for is switched.
    options.router.roles = "auto";
    options.router.roleFloor = 3;
    int grpc = 0;
    for (int i = 0; i < 2; i++) {
      KubernetesClient client = server.connect();
      KubernetesView view = ApiServer.router(client, "router-" + i, LEASE_TIME);
      options.ports.grpc = grpc;
      Router router =
          Router.start(
              options
                  .router
                  .config(
                      options.modelFolder(),
                      HOSTS.get(i),
                      options.ports,
                      options.node.tenants,
                      options.node.tls,
                      options.node.roots,
                      options.node.tracing)
                  .surroundings(
                      new RouterConfig.Surroundings(view, List.of(NODES), Optional.of(ROUTERS)))
                  .build());
      grpc = router.grpcPort();
      routers.add(router);
      routerClients.add(client);
      views.add(view);
    }
    server.slice(ROUTERS, "a", endpoint(HOSTS.getFirst(), false));
    int host = 21;
    for (NodeSpec spec : NodeSpec.parseList("E,P,D,D,D")) {
      String address = "127.0.0." + host++;
      hosts.put(spec.name(), address);
      server.pod(spec.name(), Map.of("app.kubernetes.io/name", "epidote"));
      ClusterView view = ApiServer.node(server.connect());
      views.add(view);
      nodes.add(
          NodeLauncher.start(
              new NodeLauncher.Settings(
                  spec,
                  options.modelFolder(),
                  address,
                  address,
                  0,
                  List.of(ROUTERS + ":" + grpc),
                  view,
                  options.node),
              new SimpleMeterRegistry()));
    }
    await().until(() -> nodes.stream().allMatch(NodeRuntime::isRegistered));
    showNodes(Set.of());
  }

  @AfterAll
  static void stop() {
    if (!firstStopped) {
      routers.getFirst().close();
    }
    routers.getLast().close();
    nodes.forEach(NodeRuntime::close);
    views.forEach(ClusterView::close);
    server.close();
  }

  private static void showNodes(Set<String> terminating) {
    server.slice(
        NODES,
        "a",
        hosts.entrySet().stream()
            .map(node -> endpoint(node.getValue(), terminating.contains(node.getKey())))
            .toArray(io.fabric8.kubernetes.api.model.discovery.v1.Endpoint[]::new));
  }

  private static String grpc(int router) {
    return HOSTS.get(router) + ":" + routers.get(router).grpcPort();
  }

  private static InferenceClient.Answer ask(InferenceClient client, int tokens) {
    InferenceClient.Answer answer =
        client.generate(
            InferenceClient.question(
                "",
                List.of(),
                "how are you",
                SamplingParams.newBuilder()
                    .setTemperature(0)
                    .setMaxTokens(tokens)
                    .setIgnoreEos(true)
                    .build()),
            text -> {});
    assertThat(answer.tokenIds()).hasSize(tokens);
    return answer;
  }

  private static String decodedBy(InferenceClient client) {
    return ask(client, 2).finished().getTimeline().getStagesList().stream()
        .filter(stage -> stage.getStage() == Stage.STAGE_DECODE)
        .map(StageTiming::getNodeId)
        .collect(Collectors.joining());
  }

  private static Set<String> decodesBut(String one) {
    return hosts.keySet().stream()
        .filter(name -> name.startsWith("decode") && !name.equals(one))
        .collect(Collectors.toSet());
  }

  /** Milliseconds until an answer came from the only node that is left. */
  private static long awaitDecodedBy(InferenceClient client, String node) {
    long changed = System.nanoTime();
    await()
        .pollDelay(Duration.ZERO)
        .pollInterval(Duration.ofMillis(1))
        .until(() -> decodedBy(client).equals(node));
    long took = (System.nanoTime() - changed) / 1_000_000;
    System.out.printf("An answer came from the only node left %d ms after%n", took);
    for (int i = 0; i < 4; i++) {
      assertThat(decodedBy(client)).isEqualTo(node);
    }
    return took;
  }

  private static int leader() {
    for (int i = 0; i < routers.size(); i++) {
      if (views.get(i).leads()) {
        return i;
      }
    }
    return -1;
  }

  @Test
  @Order(1)
  void nodesRegisterWithARouterThatAppears() {
    try (InferenceClient first = new InferenceClient(grpc(0));
        InferenceClient second = new InferenceClient(grpc(1))) {
      assertThat(first.load().getNodesCount()).isEqualTo(nodes.size());
      assertThat(second.load().getNodesCount()).isZero();
      server.slice(ROUTERS, "a", endpoint(HOSTS.get(0), false), endpoint(HOSTS.get(1), false));
      await().atMost(LEASE_TIME).until(() -> second.load().getNodesCount() == nodes.size());
      assertThat(ask(second, TOKENS).tokenIds()).isEqualTo(ask(first, TOKENS).tokenIds());
    }
  }

  @Test
  @Order(2)
  void aNodeThatKubernetesStopsGetsNothingNewWithinASecond() {
    try (InferenceClient client = new InferenceClient(grpc(1))) {
      // Only one is left each time, and not the one before.
      List<Long> took = new ArrayList<>();
      for (String left : List.of("decode-0", "decode-1", "decode-2", "decode-1")) {
        showNodes(decodesBut(left));
        took.add(awaitDecodedBy(client, left));
      }
      // Gone is as good as stopping, and back is back.
      String address = hosts.remove("decode-1");
      showNodes(Set.of("decode-2"));
      took.add(awaitDecodedBy(client, "decode-0"));
      hosts.put("decode-1", address);
      showNodes(decodesBut("decode-1"));
      took.add(awaitDecodedBy(client, "decode-1"));
      // With an answer each; one may meet a machine that is busy with other tests.
      assertThat(took.stream().sorted().toList().get(took.size() / 2)).isLessThan(SOON.toMillis());
      // All at once is the Service's end, not that of the nodes.
      showNodes(hosts.keySet());
      await()
          .during(Duration.ofMillis(300))
          .until(() -> ask(client, TOKENS).tokenIds().size() == TOKENS);
      showNodes(Set.of());
    }
  }

  @Test
  @Order(3)
  void onlyOneRouterLeadsAndRolesAreLabels() {
    await().until(() -> leader() >= 0);
    assertThat(views.get(1 - leader()).leads()).isFalse();
    await()
        .untilAsserted(() -> {
          assertThat(server.labels("encode-0")).containsEntry("llm-d.ai/role", "encode");
          assertThat(server.labels("decode-2")).containsEntry("llm-d.ai/role", "decode");
        });
    // By hand at the router that does not lead, where somebody happens to ask.
    switchTo(1 - leader(), "decode-2", Stage.STAGE_PREFILL);
    await()
        .atMost(LEASE_TIME)
        .until(() -> "prefill".equals(server.labels("decode-2").get("llm-d.ai/role")));
    for (int router = 0; router < routers.size(); router++) {
      int each = router;
      try (InferenceClient client = new InferenceClient(grpc(each))) {
        await()
            .atMost(LEASE_TIME)
            .until(() ->
                client.load().getNodesList().stream()
                    .anyMatch(node ->
                        node.getNodeId().equals("decode-2")
                            && node.getStagesList().equals(List.of(Stage.STAGE_PREFILL))));
      }
    }
  }

  private static void switchTo(int router, String node, Stage stage) {
    try (InferenceClient admin =
        new InferenceClient("127.0.0.1:" + routers.get(router).adminPort())) {
      var unused =
          admin.switchRole(SwitchRequest.newBuilder().setNodeId(node).addStages(stage).build());
    }
  }

  private static RoleDecision decision(int router) {
    try (InferenceClient admin =
        new InferenceClient("127.0.0.1:" + routers.get(router).adminPort())) {
      return admin.explainRoles().getLast();
    }
  }

  /** Requests run through both routers all the time; each gets all of its tokens. */
  @Test
  @Order(4)
  void losingTheLeaderHandsRoleControlOverAndCostsNoRequest() throws Exception {
    int leader = leader();
    int other = 1 - leader;
    AtomicBoolean over = new AtomicBoolean();
    AtomicBoolean both = new AtomicBoolean();
    AtomicInteger answered = new AtomicInteger();
    try (ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor();
        InferenceClient one = new InferenceClient(grpc(leader));
        InferenceClient two = new InferenceClient(grpc(other))) {
      List<Future<?>> asking = new ArrayList<>();
      for (InferenceClient client : Arrays.asList(one, two, one, two)) {
        asking.add(
            clients.submit(() -> {
              while (!over.get()) {
                ask(client, TOKENS);
                answered.incrementAndGet();
              }
            }));
      }
      await().until(() -> answered.get() > 8);
      // It can reach the API server no more; its clients can reach it.
      long lost = System.nanoTime();
      routerClients.get(leader).close();
      await()
          .pollInterval(Duration.ofMillis(5))
          .until(() -> {
            boolean taken = views.get(other).leads();
            both.compareAndSet(false, taken && views.get(leader).leads());
            return taken;
          });
      Duration took = Duration.ofNanos(System.nanoTime() - lost);
      System.out.printf("Role control went over %d ms after the loss%n", took.toMillis());
      assertThat(took).isLessThanOrEqualTo(LEASE_TIME);
      assertThat(both).isFalse();
      assertThat(server.holder()).isEqualTo("router-" + other);
      // Who leads now shows roles.
      switchTo(other, "decode-2", Stage.STAGE_DECODE);
      await()
          .atMost(LEASE_TIME)
          .until(() -> "decode".equals(server.labels("decode-2").get("llm-d.ai/role")));
      assertThat(decision(other).getVerdict()).isNotEmpty();
      int before = answered.get();
      await().until(() -> answered.get() > before + 8);
      over.set(true);
      for (Future<?> each : asking) {
        each.get();
      }
    }
  }

  /** A router that is stopped has its requests end; those that come go to the other. */
  @Test
  @Order(5)
  void aRouterThatStopsLosesNoRequestOfItsOwn() throws Exception {
    try (ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor();
        InferenceClient first = new InferenceClient(grpc(0));
        InferenceClient second = new InferenceClient(grpc(1))) {
      CompletableFuture<Void> begun = new CompletableFuture<>();
      Future<InferenceClient.Answer> running =
          clients.submit(() ->
              first.generate(
                  InferenceClient.question(
                      "",
                      List.of(),
                      "how are you",
                      SamplingParams.newBuilder()
                          .setTemperature(0)
                          .setMaxTokens(100)
                          .setIgnoreEos(true)
                          .build()),
                  text -> begun.complete(null)));
      begun.get();
      views.get(0).close();
      firstStopped = true;
      routers.get(0).close();
      assertThat(running.get().tokenIds()).hasSize(100);
      ask(second, TOKENS);
      server.slice(ROUTERS, "a", endpoint(HOSTS.get(1), false));
      await().until(() -> nodes.stream().allMatch(NodeRuntime::isRegistered));
      ask(second, TOKENS);
    }
  }

  /** Says that somebody else leads. */
  private static final class Follower implements ClusterView {
    @Override
    public void watch(Collection<String> services, Consumer<Set<Peer>> listener) {}

    @Override
    public boolean leads() {
      return false;
    }

    @Override
    public void showRole(String nodeId, Set<Stage> stages) {
      throw new AssertionError("who does not lead shows no roles");
    }

    @Override
    public void close() {}
  }

  @Test
  @Order(6)
  void aRouterThatDoesNotLeadSwitchesNothingThoughItWould() throws Exception {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(
        Home.profile("tile_ms:2,prompt_token_ms:0.01,decode_step_ms:2,decode_token_ms:4"));
    options.router.roles = "auto";
    options.router.roleCooldown = Duration.ofSeconds(1);
    List<NodeRuntime> workers = new ArrayList<>();
    try (Router router =
        Router.start(
            options
                .router
                .config(
                    options.modelFolder(),
                    "127.0.0.1",
                    options.ports,
                    options.node.tenants,
                    options.node.tls,
                    options.node.roots,
                    options.node.tracing)
                .surroundings(
                    new RouterConfig.Surroundings(new Follower(), List.of(), Optional.empty()))
                .build())) {
      String address = "127.0.0.1:" + router.grpcPort();
      for (NodeSpec spec : NodeSpec.parseList("E,E,E,P,D")) {
        workers.add(
            NodeLauncher.start(
                new NodeLauncher.Settings(
                    spec,
                    options.modelFolder(),
                    "127.0.0.1",
                    "127.0.0.1",
                    0,
                    List.of(address),
                    options.node),
                new SimpleMeterRegistry()));
      }
      AtomicBoolean over = new AtomicBoolean();
      try (ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor();
          InferenceClient client = new InferenceClient(address);
          InferenceClient admin = new InferenceClient("127.0.0.1:" + router.adminPort())) {
        await().until(() -> client.load().getNodesCount() == workers.size());
        for (int i = 0; i < 16; i++) {
          clients.submit(() -> {
            while (!over.get()) {
              ask(client, 100);
            }
          });
        }
        await().until(() -> admin.explainRoles().getLast().getVerdict(), WOULD_SWITCH);
        over.set(true);
        assertThat(admin.explainRoles().getSwitchesList()).isEmpty();
      }
    } finally {
      workers.forEach(NodeRuntime::close);
    }
  }
}
