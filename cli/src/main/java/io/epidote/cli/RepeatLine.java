package io.epidote.cli;

import io.epidote.engine.model.Precision;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.ToIntFunction;

/**
 * The same eight pictures twice, on a model of SmolVLM-256M's shape, in four processes: the second
 * time no tile is encoded and no prompt computed from its beginning.
 */
final class RepeatLine implements DatapathLine {
  private static final int PICTURES = 8;

  /** Each picture is one tile. */
  private static final int TILE_EDGE = 512;

  private final FreshPictures pictures = new FreshPictures();
  private final Samples samples = new Samples();
  private final Cluster cluster;
  private final InferenceClient client;

  RepeatLine(Progress progress) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.model.folder = Home.modelOrShape("smolvlm-256m", progress);
    options.node.precisions = StagePrecisions.all(Precision.INT8);
    // One stage is at work at a time.
    options.node.threads = Runtime.getRuntime().availableProcessors();
    cluster = ProcessCluster.start(options, NodeSpec.parseList("E,P,D"), progress);
    client = new InferenceClient(cluster.grpcAddress());
  }

  @Override
  public String name() {
    return "repeat";
  }

  @Override
  public void round() {
    GenerateRequest request = pictures.request(PICTURES, TILE_EDGE, 2);
    InferenceClient.Answer first = client.generate(request, text -> {});
    InferenceClient.Answer second = client.generate(request, text -> {});
    samples.add("first_ms", first.firstTextMillis());
    samples.add("second_ms", second.firstTextMillis());
    samples.add("ratio", second.firstTextMillis() / first.firstTextMillis());
    samples.add("first_tiles", encode(first, StageTiming::getUnits));
    samples.add("second_tiles", encode(second, StageTiming::getUnits));
    samples.add("second_cached", encode(second, StageTiming::getCachedUnits));
  }

  private static int encode(InferenceClient.Answer answer, ToIntFunction<StageTiming> figure) {
    return answer.finished().getTimeline().getStagesList().stream()
        .filter(timing -> timing.getStage() == Stage.STAGE_ENCODE)
        .mapToInt(figure)
        .sum();
  }

  @Override
  public void forget() {
    samples.forget();
  }

  @Override
  public void report(Report report) {
    report
        .figure("repeat_ttft_ratio", Report.rounded(samples.median("ratio")))
        .figure("repeat_tiles_encoded", (int) samples.median("second_tiles"));
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("line", name());
    row.put("pictures", PICTURES);
    row.put("tiles_encoded_first", (int) samples.median("first_tiles"));
    row.put("tiles_encoded_second", (int) samples.median("second_tiles"));
    row.put("tiles_cached_second", (int) samples.median("second_cached"));
    row.put("ttft_first_ms", Report.rounded(samples.median("first_ms")));
    row.put("ttft_second_ms", Report.rounded(samples.median("second_ms")));
    report.row(row);
  }

  @Override
  public void close() {
    client.close();
    cluster.close();
  }
}
