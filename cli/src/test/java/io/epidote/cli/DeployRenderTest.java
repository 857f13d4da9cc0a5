package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.epidote.node.engine.QueueOrder.Policy;
import io.epidote.planner.Layout;
import io.epidote.planner.Plan;
import io.epidote.planner.sim.ClusterShape.Targets;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/**
 * What kubectl makes of deploy/: each overlay as a whole. Skipped where there is none with
 * Kustomize 5.
 */
class DeployRenderTest {
  private static final Path DEPLOY = Home.folder().resolve("deploy");
  private static final Pattern VERSION = Pattern.compile("Kustomize Version: v([0-9]+)");
  private static final String ROLE = "llm-d.ai/role";

  @TempDir Path folder;

  private static String run(String... words) throws Exception {
    Path out = Files.createTempFile("kubectl", ".out");
    Path err = Files.createTempFile("kubectl", ".err");
    try {
      Process process =
          new ProcessBuilder(words)
              .redirectOutput(out.toFile())
              .redirectError(err.toFile())
              .start();
      assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
      assertThat(process.exitValue()).as(Files.readString(err)).isZero();
      return Files.readString(out);
    } finally {
      Files.delete(out);
      Files.delete(err);
    }
  }

  @BeforeAll
  static void needsKubectl() throws Exception {
    String version;
    try {
      version = run("kubectl", "version", "--client");
    } catch (IOException e) {
      version = "";
    }
    Matcher matcher = VERSION.matcher(version);
    assumeTrue(
        matcher.find() && Integer.parseInt(matcher.group(1)) >= 5, "kubectl with Kustomize 5");
  }

  private static List<JsonNode> render(Path overlay) throws Exception {
    return DeployObjects.documents(run("kubectl", "kustomize", overlay.toString()));
  }

  @TestFactory
  Stream<DynamicTest> everyOverlayIsWhole() throws IOException {
    List<Path> overlays;
    try (Stream<Path> all = Files.list(DEPLOY.resolve("overlays"))) {
      overlays = all.sorted().toList();
    }
    assertThat(overlays).hasSize(9);
    return overlays.stream()
        .map(overlay ->
            DynamicTest.dynamicTest(
                String.valueOf(overlay.getFileName()), () -> check(render(overlay))));
  }

  private static List<JsonNode> of(List<JsonNode> objects, String kind) {
    return objects.stream().filter(each -> each.path("kind").asString().equals(kind)).toList();
  }

  private static String name(JsonNode object) {
    return object.at("/metadata/name").asString();
  }

  private static Map<String, String> strings(JsonNode object) {
    Map<String, String> all = new TreeMap<>();
    object.properties().forEach(each -> all.put(each.getKey(), each.getValue().asString()));
    return all;
  }

  private static Map<String, String> podLabels(JsonNode deployment) {
    return strings(deployment.at("/spec/template/metadata/labels"));
  }

  private static List<JsonNode> selected(List<JsonNode> deployments, JsonNode labels) {
    return deployments.stream()
        .filter(each -> podLabels(each).entrySet().containsAll(strings(labels).entrySet()))
        .toList();
  }

  private static void check(List<JsonNode> objects) {
    objects.forEach(DeployObjects::check);
    assertThat(objects)
        .allSatisfy(
            each -> assertThat(each.at("/metadata/namespace").asString()).isEqualTo("epidote"));
    assertThat(objects.stream().map(each -> DeployObjects.kind(each) + " " + name(each)))
        .doesNotHaveDuplicates();
    List<JsonNode> deployments = of(objects, "Deployment");
    List<String> accounts =
        of(objects, "ServiceAccount").stream().map(DeployRenderTest::name).toList();
    assertThat(deployments).hasSizeGreaterThanOrEqualTo(2);
    for (JsonNode deployment : deployments) {
      checkDeployment(deployment, accounts);
      // Its own pods, and nobody else's.
      JsonNode selector = deployment.at("/spec/selector/matchLabels");
      assertThat(selected(deployments, selector)).containsExactly(deployment);
      assertThat(strings(selector)).doesNotContainKey(ROLE);
      assertThat(
              of(objects, "PodDisruptionBudget").stream()
                  .filter(budget ->
                      selected(deployments, budget.at("/spec/selector/matchLabels"))
                          .equals(List.of(deployment))))
          .as("budget of %s", name(deployment))
          .hasSize(1);
      assertThat(
              of(objects, "NetworkPolicy").stream()
                  .filter(policy ->
                      selected(deployments, policy.at("/spec/podSelector/matchLabels"))
                          .contains(deployment)))
          .hasSize(1);
    }
    for (JsonNode service : of(objects, "Service")) {
      List<JsonNode> behind = selected(deployments, service.at("/spec/selector"));
      assertThat(behind).as("behind %s", name(service)).isNotEmpty();
      for (JsonNode port : service.at("/spec/ports")) {
        assertThat(behind)
            .allSatisfy(each ->
                assertThat(
                        each.at("/spec/template/spec/containers/0/ports")
                            .valueStream()
                            .map(of -> of.get("name").asString()))
                    .contains(port.get("targetPort").asString()));
      }
    }
    List<String> names = deployments.stream().map(DeployRenderTest::name).toList();
    for (String scaler : List.of("HorizontalPodAutoscaler", "ScaledObject")) {
      assertThat(of(objects, scaler))
          .allSatisfy(
              each -> assertThat(names).contains(each.at("/spec/scaleTargetRef/name").asString()));
    }
    for (JsonNode pool : of(objects, "InferencePool")) {
      assertThat(selected(deployments, pool.at("/spec/selector/matchLabels")))
          .extracting(DeployRenderTest::name)
          .containsExactly("epidote-router");
    }
  }

  private static void checkDeployment(JsonNode deployment, List<String> accounts) {
    JsonNode pod = deployment.at("/spec/template/spec");
    JsonNode container = pod.at("/containers/0");
    assertThat(pod.get("containers").size()).isEqualTo(1);
    assertThat(accounts).contains(pod.get("serviceAccountName").asString());
    assertThat(pod.at("/securityContext/runAsNonRoot").asBoolean()).isTrue();
    assertThat(pod.at("/securityContext/seccompProfile/type").asString())
        .isEqualTo("RuntimeDefault");
    Stream.concat(pod.path("initContainers").valueStream(), Stream.of(container))
        .forEach(each -> {
          assertThat(each.at("/securityContext/readOnlyRootFilesystem").asBoolean()).isTrue();
          assertThat(each.at("/securityContext/allowPrivilegeEscalation").asBoolean(true))
              .isFalse();
          assertThat(each.at("/securityContext/capabilities/drop/0").asString()).isEqualTo("ALL");
          assertThat(each.at("/resources/requests/cpu").isMissingNode()).isFalse();
          assertThat(each.at("/resources/limits/memory").isMissingNode()).isFalse();
        });
    assertThat(container.propertyNames())
        .contains("startupProbe", "readinessProbe", "livenessProbe");
    assertThat(pod.get("topologySpreadConstraints").get(0).at("/labelSelector/matchLabels"))
        .isEqualTo(deployment.at("/spec/selector/matchLabels"));
    List<String> words = new ArrayList<>();
    container.get("command").forEach(word -> words.add(word.asString()));
    int command = words.indexOf(EpidoteCommand.class.getName()) + 1;
    assertThat(command).isPositive();
    for (String file : words.subList(1, command - 1)) {
      assertThat(DEPLOY.resolve("image").resolve(file.substring("@/app/".length()))).exists();
    }
    container.path("args").forEach(word -> words.add(word.asString()));
    String role = podLabels(deployment).getOrDefault(ROLE, "");
    List<String> arguments =
        words.subList(command + 1, words.size()).stream()
            .map(word -> word.equals("$(ROLE)") ? role : word)
            .toList();
    String name = words.get(command);
    if (name.equals("node")) {
      String stages = arguments.get(arguments.indexOf("--stages") + 1);
      assertThat(NodeSpec.parseStages(stages)).isEqualTo(NodeSpec.parseStages(role));
    }
    // The model is read as soon as its option is.
    int model = arguments.indexOf("--model");
    List<String> read = new ArrayList<>(List.of(name));
    read.addAll(arguments);
    if (model >= 0) {
      read.set(model + 2, Home.model("scenes").toString());
    }
    var parsed = EpidoteCommand.commandLine(name).parseArgs(read.toArray(String[]::new));
    assertThat(parsed.unmatched()).isEmpty();
    long drain = seconds(arguments.get(arguments.indexOf("--drain") + 1));
    long before = container.at("/lifecycle/preStop/sleep/seconds").asLong(0);
    assertThat(pod.get("terminationGracePeriodSeconds").asLong())
        .isGreaterThanOrEqualTo(drain + before + 10);
  }

  private static long seconds(String text) {
    return Long.parseLong(text.replace("s", ""));
  }

  /** kubelet shows no certificate and its gRPC probes speak no TLS: what it asks must answer it. */
  @Test
  void probesOfMembersWithCertificatesNeedNone() throws Exception {
    List<JsonNode> deployments = of(render(DEPLOY.resolve("overlays/stages-tls")), "Deployment");
    assertThat(deployments).hasSize(4);
    for (JsonNode deployment : deployments) {
      JsonNode container = deployment.at("/spec/template/spec/containers/0");
      assertThat(container.get("command").valueStream().map(JsonNode::asString))
          .contains("--tls-cert", "--tls-key", "--tls-ca");
      boolean router = name(deployment).equals("epidote-router");
      for (String probe : List.of("startupProbe", "readinessProbe", "livenessProbe")) {
        JsonNode asked = container.get(probe);
        assertThat(asked.has("grpc")).isFalse();
        assertThat(asked.at("/httpGet/port").asString()).isEqualTo(router ? "http" : "metrics");
        assertThat(asked.at("/httpGet/scheme").asString("HTTP"))
            .isEqualTo(router ? "HTTPS" : "HTTP");
      }
    }
  }

  @Test
  void whatThePlannerFindsIsWhatIsStarted() throws Exception {
    try (Stream<Path> all = Files.walk(DEPLOY)) {
      for (Path file : all.toList()) {
        Path copy = folder.resolve(DEPLOY.relativize(file).toString());
        if (Files.isDirectory(file)) {
          Files.createDirectories(copy);
        } else {
          Files.copy(file, copy);
        }
      }
    }
    Path overlay = folder.resolve("overlays/planned");
    Files.writeString(
        overlay.resolve("plan.yaml"),
        PlanText.values(
            new Plan(new Layout(3, 0, 1, 0, 2, 0), 512, 16, Policy.SLACK, false), Targets.NONE));
    List<JsonNode> objects = render(overlay);
    check(objects);
    Map<String, Integer> replicas = new TreeMap<>();
    for (JsonNode deployment : of(objects, "Deployment")) {
      replicas.put(name(deployment), deployment.at("/spec/replicas").asInt());
      if (name(deployment).equals("epidote-prefill-decode")) {
        assertThat(
                deployment
                    .at("/spec/template/spec/containers/0/args")
                    .valueStream()
                    .map(JsonNode::asString))
            .containsExactly(
                "--stages",
                "prefill,decode",
                "--prefill-step",
                "512",
                "--decode-batch",
                "16",
                "--order",
                "slack");
      }
    }
    assertThat(replicas)
        .containsEntry("epidote-encode", 3)
        .containsEntry("epidote-decode", 1)
        .containsEntry("epidote-prefill-decode", 2)
        .containsEntry("epidote-prefill", 0);
  }
}
