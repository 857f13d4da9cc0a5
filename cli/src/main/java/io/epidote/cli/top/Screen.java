package io.epidote.cli.top;

import com.fasterxml.jackson.databind.JsonNode;
import io.epidote.cli.top.Line.Style;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;

/**
 * Draws a look at the cluster as lines of text: what is most important first, and of lists as much
 * as there is room for.
 */
public final class Screen {
  private static final int NAME = 12;
  private static final int MOST_LINES = 60;
  private static final int WIDE = 100;

  private final int columns;
  private final int rows;
  private final boolean styled;
  private final boolean blocks;
  private final List<Line> lines = new ArrayList<>();

  private Screen(int columns, int rows, boolean styled, boolean blocks) {
    this.columns = columns;
    this.rows = rows;
    this.styled = styled;
    this.blocks = blocks;
  }

  /**
   * The lines, none wider than the screen and no more than it has rows.
   *
   * @param note at the end of the first line: keys, or what is wrong
   * @param columns of the screen
   * @param rows of the screen; 0 for as many as are needed
   * @param styled whether the terminal knows bold and colors
   * @param blocks whether it can write block characters
   */
  public static List<String> draw(
      ClusterWatch.View view,
      String note,
      boolean bad,
      int columns,
      int rows,
      boolean styled,
      boolean blocks) {
    Screen screen = new Screen(columns, rows == 0 ? MOST_LINES : rows, styled, blocks);
    screen.head(view.cluster(), note, bad);
    screen.figures(view);
    screen.nodes(view.cluster());
    screen.adapters(view.cluster());
    screen.roles(view.cluster().path("roles"));
    screen.requests(view.requests());
    return screen.lines.stream().limit(screen.rows).map(Line::toString).toList();
  }

  private Line line() {
    Line line = new Line(columns, styled);
    lines.add(line);
    return line;
  }

  /** Lines that are left. */
  private int room() {
    return rows - lines.size();
  }

  private void head(JsonNode cluster, String note, boolean bad) {
    Line line = line();
    line.add(Style.BOLD, cluster.path("model").asText("epidote"));
    boolean ready = cluster.path("ready").asBoolean();
    JsonNode requests = cluster.path("requests");
    if (cluster.has("ready")) {
      line.add("  up %s  ".formatted(Words.age(cluster.path("uptime_s").asDouble() * 1000)));
      line.add(
          ready ? Style.PLAIN : Style.BAD,
          ready ? "ready" : "no node serves " + words(cluster.path("missing_stages")));
      line.add(
          "  %d at work, %d waiting"
              .formatted(requests.path("running").asInt(), requests.path("waiting").asInt()));
    }
    line.add(note.isEmpty() ? "" : "  ").add(bad ? Style.BAD : Style.DIM, note);
  }

  private void figures(ClusterWatch.View view) {
    Figures figures = new Figures(view.points(), view.periodMs());
    JsonNode targets = view.cluster().path("targets");
    latency("TTFT", "ttft", figures, targets);
    latency("TPOT", "tpot", figures, targets);
    Line attained = line().left(Style.DIM, 9, "on target");
    attained.right(8, percent(figures.share("on_target", "with_targets")));
    spark(
        attained,
        figures,
        point ->
            point.path("with_targets").asInt() == 0
                ? OptionalDouble.empty()
                : OptionalDouble.of(
                    point.path("on_target").asDouble() / point.path("with_targets").asDouble()));
    attained.add(Style.DIM, targets.isEmpty() ? " no targets: --slo-ttft-ms, --slo-tpot-ms" : "");
    Line ended = line().left(Style.DIM, 9, "ended/s");
    ended.right(8, number(figures.perSecond("ended")));
    spark(ended, figures, point -> Figures.of(point, "ended"));
    ended.add(Style.DIM, " failed/s").right(9, number(figures.perSecond("failed")));
    ended.add(Style.DIM, "tokens/s").right(7, number(figures.perSecond("answer_tokens")));
  }

  private void latency(String title, String name, Figures figures, JsonNode targets) {
    Line line = line().left(Style.DIM, 9, title + " p50");
    line.right(8, milliseconds(figures.latest(name + "_p50_ms")));
    spark(line, figures, point -> Figures.of(point, name + "_p50_ms"));
    line.add(Style.DIM, " p95").right(9, milliseconds(figures.latest(name + "_p95_ms")));
    JsonNode target = targets.path(name + "_ms");
    if (target.isNumber()) {
      line.add(Style.DIM, " target ").add(Words.ms(target));
    }
  }

  private void spark(Line line, Figures figures, Function<JsonNode, OptionalDouble> value) {
    if (blocks) {
      line.add(figures.sparkline(Math.clamp(columns - 56L, 0, 60), value));
    }
  }

  private void nodes(JsonNode cluster) {
    line();
    line()
        .left(Style.DIM, NAME, "NODE")
        .left(Style.DIM, 4, "ROLE")
        .right(Style.DIM, 4, "RUN")
        .right(Style.DIM, 5, "QUEUE")
        .right(Style.DIM, 5, "AWAIT")
        .left(Style.DIM, 12, "KV USE/CACHE")
        .left(Style.DIM, 15, "MEDIA USE/CACHE")
        .left(Style.DIM, 28, "BACKLOG")
        .right(Style.DIM, 8, "RESIDENT");
    List<JsonNode> nodes = list(cluster.path("nodes"));
    // Some lines are for what comes below, as far as there are nodes enough.
    int shown = Math.min(nodes.size(), Math.max(3, room() * 2 / 3));
    nodes.stream().limit(shown).forEach(this::node);
    more(nodes.size() - shown, "nodes");
  }

  private void node(JsonNode node) {
    Line line =
        line()
            .left(NAME, node.path("id").asText())
            .left(4, role(node.path("stages")))
            .right(4, node.path("running").asText())
            .right(5, node.path("queued").asText())
            .right(5, node.path("awaiting").asText())
            .left(12, pool(node.path("kv")))
            .left(15, pool(node.path("media")))
            .left(28, backlog(node))
            .right(8, mib(node.path("resident_bytes").asLong()));
    String fault = node.path("fault").asText();
    if (!fault.isEmpty()) {
      line().add(Style.BAD, "  unhealthy: " + fault);
    } else if (node.path("draining").asBoolean()) {
      line.add(Style.BAD, "draining");
    }
  }

  private static String role(JsonNode stages) {
    List<String> names = strings(stages);
    return List.of("encode", "prefill", "decode").stream()
        .filter(names::contains)
        .map(name -> name.substring(0, 1).toUpperCase(Locale.ROOT))
        .collect(Collectors.joining());
  }

  private static String pool(JsonNode pool) {
    if (pool.isMissingNode()) {
      return "-";
    }
    double total = pool.path("total").asDouble();
    return share(pool.path("used").asDouble() / total)
        + "/"
        + share(pool.path("cached").asDouble() / total)
        + " %";
  }

  /** Percent; a little is not nothing. */
  private static String share(double share) {
    return String.format(Locale.ROOT, share > 0 && share < 0.1 ? "%.1f" : "%.0f", share * 100);
  }

  private static String backlog(JsonNode node) {
    Map<String, Long> parts = new LinkedHashMap<>();
    parts.put("tiles", node.at("/encode/waiting_tiles").asLong());
    parts.put("prompt tokens", node.at("/prefill/waiting_tokens").asLong());
    parts.put("answers", node.at("/decode/answers").asLong());
    return parts.entrySet().stream()
        .filter(part -> part.getValue() > 0)
        .map(part -> part.getValue() + " " + part.getKey())
        .collect(Collectors.joining(", "));
  }

  private static String mib(long bytes) {
    return "%d MiB".formatted(bytes >> 20);
  }

  /** Of every adapter, in which tier it is on which node; those that are hottest first. */
  private void adapters(JsonNode cluster) {
    Map<String, Map<String, String>> byName = new LinkedHashMap<>();
    for (JsonNode node : cluster.path("nodes")) {
      for (JsonNode adapter : node.path("adapters")) {
        byName
            .computeIfAbsent(adapter.path("name").asText(), name -> new LinkedHashMap<>())
            .put(node.path("id").asText(), adapter.path("tier").asText());
      }
    }
    if (byName.isEmpty() || room() < 4) {
      return;
    }
    line();
    line().left(Style.DIM, NAME, "ADAPTER").add(Style.DIM, "ON");
    List<Map.Entry<String, Map<String, String>>> adapters =
        byName.entrySet().stream()
            .sorted(
                Comparator.comparingInt(
                        (Map.Entry<String, Map<String, String>> each) -> warmth(each.getValue()))
                    .thenComparing(Map.Entry::getKey))
            .toList();
    int shown = Math.min(adapters.size(), Math.max(2, room() / 3));
    for (Map.Entry<String, Map<String, String>> adapter : adapters.subList(0, shown)) {
      Map<String, List<String>> nodes =
          adapter.getValue().entrySet().stream()
              .collect(
                  Collectors.groupingBy(
                      Map.Entry::getValue,
                      LinkedHashMap::new,
                      Collectors.mapping(Map.Entry::getKey, Collectors.toList())));
      Line line = line().left(NAME, adapter.getKey());
      for (String tier : List.of("hot", "warm", "cold")) {
        List<String> of = nodes.getOrDefault(tier, List.of());
        if (!of.isEmpty()) {
          line.add(
              tier.equals("cold") ? Style.DIM : Style.PLAIN,
              of.size() > 4
                  ? "%s on %d nodes  ".formatted(tier, of.size())
                  : "%s on %s  ".formatted(tier, String.join(", ", of)));
        }
      }
    }
    more(adapters.size() - shown, "adapters");
  }

  private static int warmth(Map<String, String> tiers) {
    return tiers.containsValue("hot") ? 0 : tiers.containsValue("warm") ? 1 : 2;
  }

  private void roles(JsonNode roles) {
    if (room() < 3 || roles.path("verdict").asText().isEmpty()) {
      return;
    }
    line();
    line()
        .left(Style.DIM, NAME, "ROLES")
        .add(roles.path("automatic").asBoolean() ? "by the router: " : "by hand: ")
        .add(roles.path("verdict").asText());
    Line stages = line().left(Style.DIM, NAME, "BUSY");
    for (JsonNode stage : roles.path("pressures")) {
      JsonNode busy = stage.path("utilisation");
      stages.add(
          "%s %s on %d, %.1f s wait  "
              .formatted(
                  stage.path("stage").asText(),
                  busy.isNumber() ? Words.percent(busy.asDouble()) : "without a node",
                  stage.path("nodes").asInt(),
                  stage.path("backlog_s").asDouble()));
    }
    JsonNode switches = roles.path("switches");
    if (!switches.isEmpty() && room() > 2) {
      JsonNode last = switches.get(switches.size() - 1);
      String error = last.path("error").asText();
      line()
          .left(Style.DIM, NAME, "SWITCHED")
          .add(
              "%s from %s to %s %s ago  "
                  .formatted(
                      last.path("node").asText(),
                      words(last.path("from")),
                      words(last.path("to")),
                      Words.age(last.path("age_ms").asDouble())))
          .add(Style.BAD, error);
    }
  }

  private void requests(List<JsonNode> requests) {
    if (room() < 3 || requests.isEmpty()) {
      return;
    }
    line();
    // A timeline says more than a model's name, where there is room for one of them.
    boolean wide = columns >= WIDE;
    Line head = line().left(Style.DIM, NAME, "REQUEST");
    if (wide) {
      head.left(Style.DIM, 14, "MODEL").right(Style.DIM, 9, "TOKENS");
    }
    head.right(Style.DIM, 8, "TTFT")
        .right(Style.DIM, 8, "TPOT")
        .right(Style.DIM, 8, "TOTAL")
        .left(Style.DIM, 11, "END")
        .add(Style.DIM, "r router . queue - transfer E P D compute");
    for (JsonNode request : requests.subList(0, Math.min(requests.size(), room()))) {
      String outcome = request.path("outcome").asText();
      boolean late = request.has("on_target") && !request.path("on_target").asBoolean();
      boolean good = outcome.equals("stop") || outcome.equals("length");
      Line line = line().left(NAME, request.path("id").asText());
      if (wide) {
        line.left(14, request.path("model").asText())
            .right(
                9,
                request.path("prompt_tokens").asInt()
                    + "+"
                    + request.path("answer_tokens").asInt());
      }
      line.right(8, Words.ms(request.path("ttft_ms")))
          .right(8, Words.ms(request.path("tpot_ms")))
          .right(8, Words.ms(request.path("total_ms")))
          .left(
              good && !late ? Style.PLAIN : Style.BAD,
              11,
              good && late ? outcome + " late" : outcome);
      line.add(TimelineBar.of(request.path("timelines").path(0), Math.min(60, line.left())));
    }
  }

  private void more(int count, String what) {
    if (count > 0) {
      line().add(Style.DIM, "and %d more %s".formatted(count, what));
    }
  }

  private static String milliseconds(OptionalDouble value) {
    return value.isEmpty() ? "-" : Words.ms(value.getAsDouble());
  }

  private static String percent(OptionalDouble share) {
    return share.isEmpty() ? "-" : Words.percent(share.getAsDouble());
  }

  private static String number(OptionalDouble value) {
    return value.isEmpty() ? "-" : String.format(Locale.ROOT, "%.1f", value.getAsDouble());
  }

  private static String words(JsonNode array) {
    return String.join(", ", strings(array));
  }

  private static List<String> strings(JsonNode array) {
    return list(array).stream().map(JsonNode::asText).toList();
  }

  private static List<JsonNode> list(JsonNode array) {
    return StreamSupport.stream(array.spliterator(), false).toList();
  }
}
