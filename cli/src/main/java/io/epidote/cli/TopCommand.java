package io.epidote.cli;

import com.fasterxml.jackson.databind.JsonNode;
import io.epidote.cli.load.TimeText;
import io.epidote.cli.top.ClusterWatch;
import io.epidote.cli.top.Figures;
import io.epidote.cli.top.Screen;
import io.epidote.cli.top.Terminal;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "top",
    description = {
      "Shows a running cluster in the terminal: nodes, queues, blocks, adapters, latencies, what the role",
      "controller last decided, and the timelines of the last requests. q quits, space holds the picture.",
      "From the same JSON as the page at the router's HTTP port."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote top",
      "  epidote top --router gateway:8000 --interval 5s",
      "  epidote top --tls-ca ca.pem --api-key-file key.txt",
      "  epidote top --once | less",
      "  epidote top --json"
    })
final class TopCommand implements Callable<Integer> {
  private static final int KEY_POLL_MS = 50;
  private static final int WIDE = 160;
  private static final int ESCAPE = 27;

  @Option(
      names = "--router",
      paramLabel = "HOST:PORT",
      description = "The router's HTTP address. Default: ${DEFAULT-VALUE}.")
  private String router = "localhost:8000";

  @Option(
      names = "--interval",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description = "From one look to the next. Default: 1s.")
  private Duration interval = Duration.ofSeconds(1);

  @Option(names = "--once", description = "Print one look and end: for scripts, and for pipes.")
  private boolean once;

  @Option(names = "--json", description = "Print one look as one JSON object and end.")
  private boolean json;

  @Mixin private ConnectionOptions connection = new ConnectionOptions();

  @Override
  public Integer call() throws InterruptedException {
    if (interval.compareTo(Duration.ofMillis(100)) < 0
        || interval.compareTo(Duration.ofHours(1)) > 0) {
      throw new InvalidRequest(
          "--interval %s does not work; expected 100ms to 1h".formatted(TimeText.of(interval)));
    }
    try (ClusterWatch watch = new ClusterWatch(router, connection.access())) {
      ClusterWatch.View first = watch.look();
      if (json) {
        report(first).print(System.out);
      } else if (once) {
        boolean terminal = System.console() != null && System.console().isTerminal();
        Screen.draw(
                first,
                "",
                false,
                terminal ? Terminal.size().columns() : WIDE,
                0,
                terminal && isStyled(),
                isUnicode())
            .forEach(line -> System.out.println(line.stripTrailing()));
      } else {
        try (Terminal terminal = Terminal.open(System.in, screen())) {
          follow(watch, first, terminal);
        }
      }
    }
    return 0;
  }

  /** Looks, draws and listens for keys until one says to end. */
  private void follow(ClusterWatch watch, ClusterWatch.View first, Terminal terminal)
      throws InterruptedException {
    ClusterWatch.View view = first;
    String note = "q quits, space holds";
    String problem = "";
    boolean held = false;
    long period = interval.toNanos();
    long next = System.nanoTime() + period;
    Optional<Terminal.Size> drawn = Optional.empty();
    while (true) {
      Terminal.Size size = Terminal.size();
      boolean due = System.nanoTime() - next >= 0 && !held;
      if (due) {
        next = System.nanoTime() + period;
        try {
          view = watch.look();
          problem = "";
        } catch (Unavailable e) {
          problem = "old: " + e.getMessage();
        }
      }
      if (due || !drawn.equals(Optional.of(size))) {
        boolean bad = !problem.isEmpty();
        terminal.show(
            Screen.draw(
                view,
                bad ? problem : held ? "held, space goes on" : note,
                bad,
                size.columns(),
                size.rows(),
                isStyled(),
                isUnicode()));
        drawn = Optional.of(size);
      }
      switch (terminal.key()) {
        case -1 -> Thread.sleep(KEY_POLL_MS);
        case 'q', 'Q', ESCAPE -> {
          return;
        }
        case ' ' -> {
          held = !held;
          drawn = Optional.empty();
        }
        default -> {}
      }
    }
  }

  /** One that writes a frame at once. */
  private static PrintStream screen() {
    return new PrintStream(new FileOutputStream(FileDescriptor.out), false, System.out.charset());
  }

  private static boolean isStyled() {
    return System.getenv("NO_COLOR") == null && !"dumb".equals(System.getenv("TERM"));
  }

  private static boolean isUnicode() {
    return System.out.charset().equals(StandardCharsets.UTF_8);
  }

  private static Report report(ClusterWatch.View view) {
    JsonNode cluster = view.cluster();
    Figures figures = new Figures(view.points(), view.periodMs());
    Report report =
        new Report("top")
            .figure("nodes", cluster.path("nodes").size())
            .figure("requests_running", cluster.at("/requests/running").asInt())
            .figure("requests_waiting", cluster.at("/requests/waiting").asInt());
    add(report, "ttft_p50_ms", figures.latest("ttft_p50_ms"));
    add(report, "ttft_p95_ms", figures.latest("ttft_p95_ms"));
    add(report, "tpot_p50_ms", figures.latest("tpot_p50_ms"));
    add(report, "tpot_p95_ms", figures.latest("tpot_p95_ms"));
    add(report, "attainment", figures.share("on_target", "with_targets"));
    add(report, "ended_per_s", figures.perSecond("ended"));
    add(report, "failed_per_s", figures.perSecond("failed"));
    add(report, "answer_tokens_per_s", figures.perSecond("answer_tokens"));
    add(report, "kv_use", figures.latest("kv_use"));
    for (JsonNode node : cluster.path("nodes")) {
      Map<String, Object> row = new LinkedHashMap<>();
      row.put("node", node.path("id").asText());
      List<String> stages = new ArrayList<>();
      node.path("stages").forEach(stage -> stages.add(stage.asText()));
      row.put("stages", stages);
      for (String count : List.of("running", "queued", "awaiting", "handles")) {
        row.put(count, node.path(count).asInt());
      }
      row.put("draining", node.path("draining").asBoolean());
      row.put("fault", node.path("fault").asText());
      row.put("kv_blocks_used", node.at("/kv/used").asInt());
      row.put("kv_blocks_cached", node.at("/kv/cached").asInt());
      row.put("kv_blocks_total", node.at("/kv/total").asInt());
      row.put("media_blocks_used", node.at("/media/used").asInt());
      row.put("media_blocks_cached", node.at("/media/cached").asInt());
      row.put("media_blocks_total", node.at("/media/total").asInt());
      row.put("resident_bytes", node.path("resident_bytes").asLong());
      Map<String, String> tiers = new LinkedHashMap<>();
      node.path("adapters")
          .forEach(
              adapter -> tiers.put(adapter.path("name").asText(), adapter.path("tier").asText()));
      row.put("adapters", tiers);
      report.row(row);
    }
    return report;
  }

  private static void add(Report report, String name, OptionalDouble value) {
    if (value.isPresent()) {
      report.figure(name, Report.rounded(value.getAsDouble()));
    } else {
      report.unavailable(name);
    }
  }
}
