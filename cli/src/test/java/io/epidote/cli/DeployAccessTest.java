package io.epidote.cli;

import static io.epidote.kubernetes.ApiServer.endpoint;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.kubernetes.ApiServer;
import io.epidote.kubernetes.KubernetesView;
import io.epidote.proto.v1.Stage;
import java.nio.file.Files;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import tools.jackson.databind.JsonNode;

/** A router may do what it does, and nothing else. */
@Timeout(60)
class DeployAccessTest {
  private static final Pattern REQUEST =
      Pattern.compile(
          "(\\w+) /(?:api|apis/([^/]+))/v1/namespaces/[^/]+/(\\w+)(?:/([^?]+))?(?:\\?(.*))?");

  private record Access(String group, String resource, String name, String verb) {}

  private static Access access(String request) {
    Matcher matcher = REQUEST.matcher(request);
    assertThat(matcher.matches()).as(request).isTrue();
    boolean one = matcher.group(4) != null;
    String query = String.valueOf(matcher.group(5));
    String verb =
        switch (matcher.group(1)) {
          case "GET" -> one ? "get" : query.contains("watch=true") ? "watch" : "list";
          case "POST" -> "create";
          case "PUT" -> "update";
          case "PATCH" -> "patch";
          default -> matcher.group(1);
        };
    return new Access(
        matcher.group(2) == null ? "" : matcher.group(2),
        matcher.group(3),
        one ? matcher.group(4) : "",
        verb);
  }

  private static boolean contains(JsonNode list, String word) {
    return list.valueStream().anyMatch(each -> each.asString().equals(word));
  }

  private static boolean allows(JsonNode rule, Access access, String verb) {
    return contains(rule.get("apiGroups"), access.group())
        && contains(rule.get("resources"), access.resource())
        && contains(rule.get("verbs"), verb)
        && (!rule.has("resourceNames") || contains(rule.get("resourceNames"), access.name()));
  }

  @Test
  void theRoleAllowsWhatARouterDoesAndNothingElse() throws Exception {
    JsonNode role =
        DeployObjects.documents(Files.readString(Home.folder().resolve("deploy/base/access.yaml")))
            .stream()
            .filter(each -> each.path("kind").asString().equals("Role"))
            .findFirst()
            .orElseThrow();
    Set<Access> done = new HashSet<>();
    try (ApiServer server = new ApiServer()) {
      server.pod("node-1", Map.of());
      server.slice("epidote-nodes", "a", endpoint("10.0.0.1", false));
      assertThat(server.requests()).isNotEmpty();
      AtomicBoolean told = new AtomicBoolean();
      try (KubernetesView view =
          ApiServer.router(server.connect(), "router", Duration.ofSeconds(2))) {
        view.watch(List.of("epidote-nodes"), _ -> told.set(true));
        await().until(() -> told.get() && view.leads());
        view.showRole("node-1", Set.of(Stage.STAGE_ENCODE));
        // And renews.
        await()
            .until(() -> {
              server.requests().forEach(request -> done.add(access(request)));
              return done.stream().anyMatch(each -> each.verb().equals("update"))
                  && done.stream().anyMatch(each -> each.verb().equals("watch"));
            });
      }
      server.requests().forEach(request -> done.add(access(request)));
    }
    for (Access access : done) {
      assertThat(
              role.get("rules").valueStream().anyMatch(rule -> allows(rule, access, access.verb())))
          .as("%s is allowed", access)
          .isTrue();
    }
    for (JsonNode rule : role.get("rules")) {
      for (JsonNode verb : rule.get("verbs")) {
        assertThat(
                done.stream()
                    .anyMatch(access ->
                        access.verb().equals(verb.asString())
                            && allows(rule, access, verb.asString())))
            .as("%s of %s is needed", verb, rule.get("resources"))
            .isTrue();
      }
    }
  }
}
