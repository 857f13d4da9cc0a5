package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.node.NodeRuntime;
import io.epidote.node.engine.QueueOrder.Policy;
import io.epidote.planner.Layout;
import io.epidote.planner.Plan;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import picocli.CommandLine;
import tools.jackson.databind.JsonNode;

/** The files of deploy/, without kubectl. */
class DeployFilesTest {
  private static final Path DEPLOY = Home.folder().resolve("deploy");
  private static final Pattern METRIC = Pattern.compile("\\b(?:epidote_|vllm:)[a-z_:]+");

  /** One that has more fields, and one of a wrong type, to see that the reader would say so. */
  private static final String WRONG =
      """
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: wrong
      spec:
        template:
          spec:
            containers:
              - name: node
                %s
      """;

  static List<Path> files() throws IOException {
    try (Stream<Path> all = Files.walk(DEPLOY)) {
      return all.filter(file -> file.toString().endsWith(".yaml")).sorted().toList();
    }
  }

  private static List<JsonNode> objects(Path file) throws IOException {
    return DeployObjects.documents(Files.readString(file));
  }

  @TestFactory
  Stream<DynamicTest> everyObjectHasTheFieldsOfItsKindOnly() throws IOException {
    List<Path> files = files();
    assertThat(files).hasSizeGreaterThan(20);
    return files.stream()
        .map(file ->
            DynamicTest.dynamicTest(
                DEPLOY.relativize(file).toString(),
                () -> {
                  List<JsonNode> objects = objects(file);
                  assertThat(objects).isNotEmpty();
                  objects.forEach(DeployObjects::check);
                  objects.forEach(object -> checkReferences(file.resolveSibling("."), object));
                }));
  }

  /** What a kustomization names is there, and its patches are objects or operations. */
  private static void checkReferences(Path folder, JsonNode object) {
    for (String list : List.of("resources", "components")) {
      object
          .path(list)
          .forEach(each -> assertThat(folder.resolve(each.asString())).as(list).exists());
    }
    for (JsonNode patch : object.path("patches")) {
      if (patch.has("path")) {
        assertThat(folder.resolve(patch.get("path").asString())).exists();
        continue;
      }
      for (JsonNode each : DeployObjects.documents(patch.get("patch").asString())) {
        if (each.has("op")) {
          assertThat(each.propertyNames())
              .containsExactlyElementsOf(
                  each.get("op").asString().equals("remove")
                      ? List.of("op", "path")
                      : List.of("op", "path", "value"));
        } else {
          DeployObjects.check(each);
        }
      }
    }
  }

  @Test
  void aFieldThatKubernetesHasNotIsFound() {
    assertThatCode(() -> check(WRONG.formatted("image: epidote"))).doesNotThrowAnyException();
    for (String wrong :
        List.of(
            "imagee: epidote",
            "livenessProbe: {gprc: {port: 1}}",
            "livenessProbe: {grpc: {port: one}}",
            "lifecycle: {preStop: {sleep: {secs: 1}}}",
            "image: epidote\n          image: twice")) {
      assertThatThrownBy(() -> check(WRONG.formatted(wrong))).as(wrong).isNotNull();
    }
    assertThatThrownBy(() -> check("apiVersion: apps/v2\nkind: Deployment\n"))
        .hasMessageContaining("apps/v2 Deployment");
    assertThatThrownBy(() ->
            check("apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nspec: {minReplicas: 1}\n"))
        .hasMessageContaining("spec.minReplicas");
  }

  private static void check(String yaml) {
    DeployObjects.documents(yaml).forEach(DeployObjects::check);
  }

  /** Every list of words that a container is started with, wherever it stands. */
  private static List<JsonNode> containers(JsonNode node) {
    List<JsonNode> found = new ArrayList<>();
    if (node.isObject() && node.path("containers").isArray()) {
      node.get("containers").forEach(found::add);
    }
    for (JsonNode patch : node.path("patches")) {
      if (patch.has("patch")) {
        DeployObjects.documents(patch.get("patch").asString())
            .forEach(each -> found.addAll(containers(each)));
      }
    }
    node.forEach(child -> found.addAll(containers(child)));
    return found;
  }

  private static CommandLine command(String name) {
    return Objects.requireNonNull(EpidoteCommand.commandLine(name).getSubcommands().get(name));
  }

  @Test
  void everyArgumentIsAnOptionOfItsCommand() throws IOException {
    Set<String> seen = new TreeSet<>();
    for (Path file : files()) {
      for (JsonNode object : objects(file)) {
        for (JsonNode container : containers(object)) {
          String name = container.path("name").asString("");
          assertThat(name).as("%s", file).isIn("router", "node");
          Set<String> options = command(name).getCommandSpec().optionsMap().keySet();
          for (String list : List.of("command", "args")) {
            for (JsonNode word : container.path(list)) {
              assertThat(word.isString()).as("%s of %s is a string", word, file).isTrue();
              if (word.asString().startsWith("--")) {
                assertThat(options).as("%s", file).contains(word.asString());
                seen.add(word.asString());
              }
            }
          }
        }
      }
    }
    assertThat(seen).contains("--stages", "--discovery", "--nodes-service", "--roles");
  }

  @Test
  void everyMetricIsOneThatANodeHas() throws IOException {
    Set<String> named = new TreeSet<>();
    for (Path file : files()) {
      if (file.toString().matches(".*/(hpa|keda)\\.yaml")) {
        named.addAll(
            METRIC
                .matcher(Files.readString(file))
                .results()
                .map(MatchResult::group)
                .collect(Collectors.toSet()));
      }
    }
    assertThat(named).contains("epidote_requests_queued", "epidote_kv_blocks_used");
    ClusterOptions options = new ClusterOptions();
    options.node.emulation.emulate(Home.profile("tile_ms:2,prompt_token_ms:1,decode_step_ms:2"));
    StringBuilder scrape = new StringBuilder();
    for (String stages : List.of("E", "P", "D")) {
      PrometheusMeterRegistry meters = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
      try (NodeRuntime node =
          NodeLauncher.start(
              new NodeLauncher.Settings(
                  NodeSpec.parseList(stages).getFirst(),
                  options.modelFolder(),
                  "127.0.0.1",
                  "127.0.0.1",
                  0,
                  List.of(),
                  options.node),
              meters)) {
        assertThat(node.isRegistered()).isTrue();
        scrape.append(meters.scrape());
      }
    }
    for (String metric : named) {
      assertThat(scrape).containsPattern("(?m)^" + metric + "(?:\\{| )");
    }
  }

  @Test
  void whatThePlannerFindsIsAPatchOfThePlannedOverlay() throws IOException {
    Targets targets = new Targets(OptionalDouble.of(2600), OptionalDouble.of(40));
    for (Layout layout : List.of(new Layout(3, 2, 1, 0, 0, 0), new Layout(0, 0, 1, 1, 1, 2))) {
      List<JsonNode> patches =
          DeployObjects.documents(
              PlanText.values(new Plan(layout, 512, 16, Policy.SLACK, false), targets));
      for (JsonNode patch : patches) {
        DeployObjects.check(patch);
        String name = patch.at("/metadata/name").asString();
        assertThat(name).startsWith("epidote-");
        if (name.equals("epidote-router")) {
          continue;
        }
        String kind = name.substring("epidote-".length());
        JsonNode overlay =
            objects(DEPLOY.resolve("overlays/planned/" + kind + "/kustomization.yaml")).getFirst();
        assertThat(overlay.get("nameSuffix").asString()).isEqualTo("-" + kind);
        List<String> words =
            patch
                .at("/spec/template/spec/containers/0/args")
                .valueStream()
                .map(JsonNode::asString)
                .toList();
        List<String> all = new ArrayList<>(List.of("node", "--router", "epidote-routers:8001"));
        all.addAll(words);
        assertThat(
                EpidoteCommand.commandLine("node")
                    .parseArgs(all.toArray(String[]::new))
                    .unmatched())
            .isEmpty();
        assertThat(NodeSpec.parseStages(words.get(1))).isEqualTo(NodeSpec.parseStages(kind));
        assertThat(patch.at("/spec/replicas").asInt()).isPositive();
      }
    }
  }
}
