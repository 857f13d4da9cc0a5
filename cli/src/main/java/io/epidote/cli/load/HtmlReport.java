package io.epidote.cli.load;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.proto.v1.StageTiming;
import io.epidote.proto.v1.Timeline;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;

/**
 * A page that shows a measurement: one file with data, styles and a script that draws, which asks
 * nothing of any other host.
 */
public final class HtmlReport {
  private static final String TEMPLATE = "report.html";
  private static final String DATA = "/*DATA*/";

  /** Dots and samples beyond that make a page heavy and show nothing more. */
  private static final int MOST_POINTS = 3000;

  private static final double[] PERCENTILES = {
    0, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92, 94, 96, 97, 98, 99, 99.5, 99.9, 99.99
  };

  private static final ObjectMapper MAPPER = new ObjectMapper();

  private HtmlReport() {}

  /**
   * Writes the page.
   *
   * @param facts of the measurement, by what they are, for its head
   * @param figures as the JSON report has them
   */
  public static void write(
      Path file, Map<String, String> facts, Map<String, ?> figures, LoadSession session) {
    ObjectNode data = MAPPER.createObjectNode();
    data.set("facts", MAPPER.valueToTree(facts));
    data.set("figures", MAPPER.valueToTree(figures));
    Slo slo = session.chosen().slo();
    data.putObject("slo").put("ttft", finite(slo.ttftMs())).put("tpot", finite(slo.tpotMs()));
    ArrayNode levels = data.putArray("levels");
    session.levels().forEach(level -> levels.add(level(level)));
    data.put("chosen", session.chosenIndex());
    long start = session.levels().getFirst().started();
    requests(data.putArray("requests"), session, start);
    LoadLevel chosen = session.chosen();
    ObjectNode percentiles = data.putObject("percentiles");
    percentiles(percentiles.putArray("ttft"), chosen.ttft());
    percentiles(percentiles.putArray("e2e"), chosen.e2e());
    percentiles(percentiles.putArray("tpot"), chosen.tpot());
    percentiles(percentiles.putArray("itl"), chosen.itl());
    ArrayNode timelines = data.putArray("timelines");
    for (int percentile : List.of(50, 90, 99)) {
      chosen.at(percentile).ifPresent(answer -> timelines.add(timeline(percentile, answer)));
    }
    ArrayNode watch = data.putArray("watch");
    List<ServerWatch.Sample> samples = session.samples();
    int step = Math.max(1, samples.size() / MOST_POINTS);
    for (int i = 0; i < samples.size(); i += step) {
      watch.add(sample(samples.get(i), start));
    }
    try (InputStream template = HtmlReport.class.getResourceAsStream(TEMPLATE)) {
      if (template == null) {
        throw new IllegalStateException("the page's template is missing from this build");
      }
      String page = new String(template.readAllBytes(), StandardCharsets.UTF_8);
      // What closes a script would close this one, wherever in a text it stands.
      String json = MAPPER.writeValueAsString(data).replace("<", "\\u003c");
      Files.writeString(file, page.replace(DATA, json));
    } catch (IOException e) {
      throw new UncheckedIOException(
          "The report %s cannot be written: %s".formatted(file, e.getMessage()), e);
    }
  }

  /** Null where there is no target. */
  private static @Nullable Double finite(double target) {
    return Double.isFinite(target) ? target : null;
  }

  private static ObjectNode level(LoadLevel level) {
    ObjectNode node =
        MAPPER
            .createObjectNode()
            .put("label", level.arrivals().toString())
            .put("rate", level.rate())
            .put("requests_s", level.requestsPerSecond())
            .put("output_tok_s", level.outputTokens() / level.seconds())
            .put("attainment", level.attainment())
            .put("ttft_attainment", level.ttftAttainment())
            .put("tpot_attainment", level.tpotAttainment())
            .put("requests", level.answers().size())
            .put("errors", level.answers().size() - level.whole().size());
    quantiles(node.putObject("ttft"), level.ttft());
    quantiles(node.putObject("tpot"), level.tpot());
    quantiles(node.putObject("itl"), level.itl());
    quantiles(node.putObject("e2e"), level.e2e());
    return node;
  }

  private static void quantiles(ObjectNode node, Histogram micros) {
    for (int percentile : List.of(50, 90, 99)) {
      node.put("p" + percentile, micros.getValueAtPercentile(percentile) / 1e3);
    }
  }

  private static void percentiles(ArrayNode points, Histogram micros) {
    if (micros.getTotalCount() == 0) {
      return;
    }
    for (double percentile : PERCENTILES) {
      // Beyond that there is not one request behind a point.
      if (percentile == 0 || (100 - percentile) / 100 * micros.getTotalCount() >= 0.99) {
        points.addArray().add(percentile).add(micros.getValueAtPercentile(percentile) / 1e3);
      }
    }
    points.addArray().add(100).add(micros.getMaxValue() / 1e3);
  }

  private static void requests(ArrayNode requests, LoadSession session, long start) {
    int all = session.levels().stream().mapToInt(level -> level.answers().size()).sum();
    int step = Math.max(1, Math.ceilDiv(all, MOST_POINTS));
    int index = 0;
    for (LoadLevel level : session.levels()) {
      for (Answer answer : level.answers()) {
        if (index++ % step == 0) {
          ObjectNode node =
              requests
                  .addObject()
                  .put("t", (answer.intended() - start) / 1e9)
                  .put("ok", answer.whole())
                  .put("phase", answer.phase());
          if (answer.whole()) {
            node.put("ttft", answer.ttft() / 1e6).put("e2e", answer.e2e() / 1e6);
          } else {
            node.put("e2e", answer.e2e() / 1e6);
          }
        }
      }
    }
  }

  private static ObjectNode timeline(int percentile, Answer answer) {
    ObjectNode node =
        MAPPER
            .createObjectNode()
            .put("percentile", percentile)
            .put("late", answer.late() / 1e6)
            .put("ttft", answer.ttft() / 1e6)
            .put("e2e", answer.e2e() / 1e6);
    ArrayNode texts = node.putArray("texts");
    for (long text : answer.texts()) {
      texts.add((text - answer.intended()) / 1e6);
    }
    answer.timeline().ifPresent(told -> stages(node, told));
    return node;
  }

  private static void stages(ObjectNode node, Timeline told) {
    node.put("router_ms", told.getRouterMs())
        .put("ttft_ms", told.getTtftMs())
        .put("total_ms", told.getTotalMs())
        .put("topology", told.getTopology());
    ArrayNode stages = node.putArray("stages");
    for (StageTiming timing : told.getStagesList()) {
      stages
          .addObject()
          .put(
              "stage",
              timing.getStage().name().substring("STAGE_".length()).toLowerCase(Locale.ROOT))
          .put("node", timing.getNodeId())
          .put("queue", timing.getQueueMs())
          .put("compute", timing.getComputeMs())
          .put("transfer", timing.getTransferMs())
          .put("overlapped", timing.getOverlappedComputeMs() + timing.getOverlappedTransferMs());
    }
  }

  private static ObjectNode sample(ServerWatch.Sample sample, long start) {
    ObjectNode node =
        MAPPER
            .createObjectNode()
            .put("t", (sample.nanos() - start) / 1e9)
            .put("running", sample.running())
            .put("waiting", sample.waiting());
    ArrayNode nodes = node.putArray("nodes");
    for (ServerWatch.Node of : sample.nodes()) {
      nodes
          .addObject()
          .put("id", of.id())
          .put("role", of.role())
          .put("running", of.running())
          .put("queued", of.queued());
    }
    return node;
  }
}
