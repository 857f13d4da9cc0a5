package io.epidote.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** What deploy/prometheus and deploy/grafana ask for. */
final class MonitoringFiles {
  static final Path FOLDER = Home.folder().resolve("deploy");
  static final Path RULES = FOLDER.resolve("prometheus/epidote.rules.yml");

  private static final Pattern NAME = Pattern.compile("[a-zA-Z_:][a-zA-Z0-9_:]*(?!\\s*\\()\\b");
  private static final Set<String> WORDS =
      Set.of(
          "by",
          "without",
          "on",
          "ignoring",
          "group_left",
          "group_right",
          "and",
          "or",
          "unless",
          "bool",
          "offset",
          "sum",
          "min",
          "max",
          "count",
          "avg",
          "rate",
          "increase",
          "absent",
          "histogram_quantile",
          "min_over_time",
          "label_values");

  private MonitoringFiles() {}

  /** An expression with where it stands. */
  record Query(String where, String expression) {}

  /** A rule: one of the two names is empty. */
  record Rule(String record, String alert, String expression, String runbook) {}

  static List<Rule> rules() throws IOException {
    JsonNode root = new ObjectMapper(new YAMLFactory()).readTree(RULES.toFile());
    return root.path("groups")
        .valueStream()
        .flatMap(group -> group.path("rules").valueStream())
        .map(rule ->
            new Rule(
                rule.path("record").asText(),
                rule.path("alert").asText(),
                rule.path("expr").asText(),
                rule.path("annotations").path("runbook_url").asText()))
        .toList();
  }

  /** Of all dashboards, with every variable as wide as it can be. */
  static List<Query> dashboardQueries() throws IOException {
    try (Stream<Path> files = Files.list(FOLDER.resolve("grafana"))) {
      return files
          .filter(file -> file.toString().endsWith(".json"))
          .flatMap(MonitoringFiles::queries)
          .toList();
    }
  }

  private static Stream<Query> queries(Path file) {
    try {
      JsonNode dashboard = new ObjectMapper().readTree(file.toFile());
      return dashboard
          .path("panels")
          .valueStream()
          .flatMap(panel ->
              panel
                  .path("targets")
                  .valueStream()
                  .map(target ->
                      new Query(
                          file.getFileName() + ": " + panel.path("title").asText(),
                          target
                              .path("expr")
                              .asText()
                              .replace("$__rate_interval", "20s")
                              .replace("$model", ".*")
                              .replace("$instance", ".*"))));
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  /** Names of metrics in a PromQL expression. */
  static Set<String> metrics(String expression) {
    String bare =
        expression
            .replaceAll("\"[^\"]*\"", "")
            .replaceAll("\\{[^}]*}", "")
            .replaceAll("\\[[^]]*]", "")
            .replaceAll("\\b(by|without|on|ignoring|group_left|group_right)\\s*\\([^)]*\\)", "");
    Set<String> names = new LinkedHashSet<>();
    Matcher matcher = NAME.matcher(bare);
    while (matcher.find()) {
      if (!WORDS.contains(matcher.group())) {
        names.add(matcher.group());
      }
    }
    return names;
  }
}
