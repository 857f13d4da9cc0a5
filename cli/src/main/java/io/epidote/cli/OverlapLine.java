package io.epidote.cli;

import static io.epidote.cli.OverlapSides.timing;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.Stage;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Pictures whose tiles take as long to encode as to prefill: the time to the first token when
 * prefill runs tiles as they come, against strictly encode, then prefill.
 */
final class OverlapLine implements DatapathLine {
  private static final int PICTURES = 8;

  /** A tile has some 19 tokens of the prompt. */
  private static final CostProfile COSTS =
      CostProfile.parse(
          "encode_step_ms:1,tile_ms:19,prefill_step_ms:1,prompt_token_ms:1,decode_step_ms:2");

  private final FreshPictures pictures = new FreshPictures();
  private final Samples samples = new Samples();
  private final OverlapSides sides;

  OverlapLine(Progress progress) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(COSTS);
    sides = new OverlapSides(options, progress);
  }

  @Override
  public String name() {
    return "overlap";
  }

  @Override
  public void round() {
    GenerateRequest request = pictures.request(PICTURES, ShardingLine.EDGE, 1);
    InferenceClient.Answer strict = sides.strict(request);
    InferenceClient.Answer overlapping = sides.overlapping(request);
    samples.add("strict_ms", strict.firstTextMillis());
    samples.add("overlapping_ms", overlapping.firstTextMillis());
    samples.add("reduction", 1 - overlapping.firstTextMillis() / strict.firstTextMillis());
    samples.add("encode_ms", timing(strict, Stage.STAGE_ENCODE).getComputeMs());
    samples.add("prefill_ms", timing(strict, Stage.STAGE_PREFILL).getComputeMs());
    samples.add("overlapped_ms", timing(overlapping, Stage.STAGE_PREFILL).getOverlappedComputeMs());
  }

  @Override
  public void forget() {
    samples.forget();
  }

  @Override
  public void report(Report report) {
    report.figure("overlap_ttft_reduction", Report.rounded(samples.median("reduction")));
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("line", name());
    row.put("tiles", PICTURES * ShardingLine.TILES);
    row.put("encode_ms", Report.rounded(samples.median("encode_ms")));
    row.put("prefill_ms", Report.rounded(samples.median("prefill_ms")));
    row.put("ttft_strict_ms", Report.rounded(samples.median("strict_ms")));
    row.put("ttft_ms", Report.rounded(samples.median("overlapping_ms")));
    row.put("prefill_overlapped_ms", Report.rounded(samples.median("overlapped_ms")));
    report.row(row);
  }

  @Override
  public void close() {
    sides.close();
  }
}
