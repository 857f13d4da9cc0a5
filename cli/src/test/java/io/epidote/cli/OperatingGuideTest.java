package io.epidote.cli;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.cli.MonitoringFiles.Rule;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;

/** docs/operating.md beside what it is about. */
class OperatingGuideTest {
  private static final Pattern ROW =
      Pattern.compile("^\\| `(--[a-z-]+)` \\| (.*?) \\|", Pattern.MULTILINE);
  private static final Pattern DEFAULT = Pattern.compile("Default: ([^ ]+)\\.$");

  private static String guide() throws IOException {
    return Files.readString(Home.folder().resolve("docs/operating.md"));
  }

  @Test
  void theTablesHaveEveryOptionOfRouterAndNodeAndNoOther() throws IOException {
    String options = guide().split("\n## Options\n")[1];
    assertThat(rows(options.split("### Node")[0]).keySet())
        .containsExactlyElementsOf(options("router").keySet());
    assertThat(rows(options.split("### Node")[1]).keySet())
        .containsExactlyElementsOf(options("node").keySet());
  }

  @Test
  void theTablesHaveTheDefaultsThatTheHelpTells() throws IOException {
    String guide = guide().split("\n## Options\n")[1];
    for (String command : List.of("router", "node")) {
      Map<String, String> rows = rows(guide.split("### Node")[command.equals("node") ? 1 : 0]);
      options(command)
          .forEach((name, option) -> {
            Matcher told = DEFAULT.matcher(CommandLine.Help.Ansi.OFF.string(text(option)));
            if (told.find()) {
              assertThat(rows.get(name)).as(command + " " + name).contains(told.group(1));
            }
          });
    }
  }

  private static String text(OptionSpec option) {
    return String.join(" ", option.description())
        .replace("${DEFAULT-VALUE}", String.valueOf(option.defaultValueString()));
  }

  @Test
  void everyAlertHasAnEntry() throws IOException {
    String guide = guide();
    List<Rule> alerts =
        MonitoringFiles.rules().stream().filter(rule -> !rule.alert().isEmpty()).toList();
    assertThat(alerts)
        .allMatch(rule -> guide.contains("\n### " + rule.alert() + "\n"))
        .allMatch(rule ->
            rule.runbook()
                .equals("docs/operating.md#" + rule.alert().toLowerCase(java.util.Locale.ROOT)));
    assertThat(Pattern.compile("^### Epidote", Pattern.MULTILINE).matcher(guide).results())
        .hasSize(alerts.size());
  }

  /** The second column of each row, by option. */
  private static Map<String, String> rows(String section) {
    Map<String, String> rows = new TreeMap<>();
    Matcher row = ROW.matcher(section);
    while (row.find()) {
      assertThat(rows.put(row.group(1), row.group(2))).as("twice: " + row.group(1)).isNull();
    }
    return rows;
  }

  private static Map<String, OptionSpec> options(String command) {
    Map<String, OptionSpec> options = new TreeMap<>();
    CommandLine line =
        requireNonNull(EpidoteCommand.commandLine(command).getSubcommands().get(command));
    line.getCommandSpec().options().stream()
        .filter(option -> !option.hidden() && !option.usageHelp() && !option.versionHelp())
        .forEach(option -> options.put(option.longestName(), option));
    return options;
  }
}
