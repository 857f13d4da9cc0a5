package io.epidote.cli;

import io.epidote.engine.emulated.CostProfile;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The pictures of one request over two and four encode nodes, emulated, everything else real. A
 * picture takes half a second, as one of 4032×3024 does in the paper (4.27 s for eight on one
 * node). Told is the time to the first token over the ideal, which is what the cost profile makes
 * of it when all tiles are divided evenly and nothing else takes time; beside it, for the most
 * pictures, what one node takes.
 */
final class ShardingLine implements DatapathLine {
  private static final List<Integer> PICTURES = List.of(2, 4, 6, 8);
  private static final int MOST_PICTURES = PICTURES.getLast();
  private static final List<Integer> NODES = List.of(1, 2, 4);
  private static final CostProfile COSTS =
      CostProfile.parse("tile_ms:100,prefill_step_ms:2,prompt_token_ms:0.05,decode_step_ms:2");

  /** Of a picture of that edge at the model that ships: four tiles and an overview. */
  static final int TILES = 5;

  static final int EDGE = 128;

  private record Side(int nodes, Cluster cluster, InferenceClient client) {}

  private final FreshPictures pictures = new FreshPictures();
  private final Samples samples = new Samples();
  private final List<Side> sides = new ArrayList<>();

  ShardingLine(Progress progress) {
    for (int nodes : NODES) {
      ClusterOptions options = new ClusterOptions().onAnyPort();
      options.node.emulation.emulate(COSTS);
      Cluster cluster =
          LocalCluster.start(options, NodeSpec.parseList("E,".repeat(nodes) + "P,D"), progress);
      sides.add(new Side(nodes, cluster, new InferenceClient(cluster.grpcAddress())));
    }
  }

  @Override
  public String name() {
    return "sharding";
  }

  @Override
  public void round() {
    for (int count : PICTURES) {
      for (Side side : sides) {
        if (!isMeasured(count, side.nodes())) {
          continue;
        }
        InferenceClient.Answer answer =
            side.client().generate(pictures.request(count, EDGE, 1), text -> {});
        double ideal = idealMs(count, side.nodes(), answer);
        samples.add(key("ttft", count, side.nodes()), answer.firstTextMillis());
        samples.add(key("ideal", count, side.nodes()), ideal);
        samples.add(key("ratio", count, side.nodes()), answer.firstTextMillis() / ideal);
      }
    }
  }

  private static boolean isMeasured(int pictures, int nodes) {
    return nodes > 1 || pictures == MOST_PICTURES;
  }

  private static double idealMs(int pictures, int nodes, InferenceClient.Answer answer) {
    int tiles = pictures * TILES;
    int prompt = answer.finished().getUsage().getPromptTokens();
    return Math.ceilDiv(tiles, nodes) * COSTS.ms("tile_ms")
        + COSTS.ms("prefill_step_ms")
        + prompt * COSTS.ms("prompt_token_ms");
  }

  private static String key(String what, int pictures, int nodes) {
    return "%s %d %d".formatted(what, pictures, nodes);
  }

  @Override
  public void forget() {
    samples.forget();
  }

  @Override
  public void report(Report report) {
    for (int count : PICTURES) {
      double worst =
          NODES.stream()
              .filter(nodes -> nodes > 1)
              .mapToDouble(nodes -> samples.median(key("ratio", count, nodes)))
              .max()
              .orElseThrow();
      report.figure("sharding_of_ideal_" + count, Report.rounded(worst));
      for (int nodes : NODES) {
        if (!isMeasured(count, nodes)) {
          continue;
        }
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("line", name());
        row.put("pictures", count);
        row.put("encode_nodes", nodes);
        row.put("ttft_ms", Report.rounded(samples.median(key("ttft", count, nodes))));
        row.put("ideal_ms", Report.rounded(samples.median(key("ideal", count, nodes))));
        row.put("of_ideal", Report.rounded(samples.median(key("ratio", count, nodes))));
        report.row(row);
      }
    }
    report.figure(
        "sharding_gain_%d_pictures_%d_nodes".formatted(MOST_PICTURES, NODES.getLast()),
        Report.rounded(
            samples.median(key("ttft", MOST_PICTURES, NODES.getFirst()))
                / samples.median(key("ttft", MOST_PICTURES, NODES.getLast()))));
  }

  @Override
  public void close() {
    for (Side side : sides) {
      side.client().close();
      side.cluster().close();
    }
  }
}
