package io.epidote.cli;

import static io.epidote.cli.OverlapSides.timing;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.emulated.CostProfile;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * A long prompt with much KV: what decode still waits for when prefill has ended, against what the
 * whole transfer takes after a prefill that announces nothing before its end.
 */
final class HandoffLine implements DatapathLine {
  /** Each is a token. */
  private static final int WORDS = 7000;

  private static final CostProfile COSTS =
      CostProfile.parse("prefill_step_ms:2,prompt_token_ms:0.2,decode_step_ms:2");

  /** 32 KiB of keys and values a token, and a context for long prompts. */
  private static final Map<String, Integer> SHAPE =
      Map.of("num_hidden_layers", 32, "num_key_value_heads", 4, "max_position_embeddings", 8192);

  private final Samples samples = new Samples();
  private final Path model;
  private final OverlapSides sides;

  HandoffLine(Progress progress) {
    try {
      model = writeModel();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.model.folder = model;
    options.node.emulation.emulate(COSTS);
    options.node.kvCache = new Bytes(512L << 20);
    // Prompts are alike, but each is computed and moved as a whole.
    options.node.noPrefixCache = true;
    sides = new OverlapSides(options, progress);
  }

  /** The model that ships with another shape: emulated nodes read no weights. */
  private static Path writeModel() throws IOException {
    Path folder = Files.createTempDirectory("epidote-handoff");
    try (Stream<Path> files = Files.list(Home.model("scenes"))) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        Files.copy(file, folder.resolve(file.getFileName()));
      }
    }
    Path config = folder.resolve("config.json");
    ObjectMapper json = new ObjectMapper();
    ObjectNode root = (ObjectNode) json.readTree(Files.readString(config));
    SHAPE.forEach(((ObjectNode) root.get("text_config"))::put);
    Files.writeString(config, json.writeValueAsString(root));
    return folder;
  }

  @Override
  public String name() {
    return "handoff";
  }

  @Override
  public void round() {
    InferenceClient.Answer strict = sides.strict(request());
    InferenceClient.Answer overlapping = sides.overlapping(request());
    double transfer = timing(strict, Stage.STAGE_DECODE).getTransferMs();
    samples.add("transfer_ms", transfer);
    samples.add("strict_tail_ms", tail(strict));
    samples.add("tail_ms", tail(overlapping));
    samples.add("ratio", tail(overlapping) / transfer);
    StageTiming decode = timing(overlapping, Stage.STAGE_DECODE);
    samples.add("overlapped_ms", decode.getOverlappedTransferMs());
    samples.add("handoff_ms", decode.getHandoffMs());
    samples.add("moved_mib", decode.getBytesMoved() / (double) (1 << 20));
    samples.add("tokens", overlapping.finished().getUsage().getPromptTokens());
  }

  /**
   * From the first token at the router to the end of an answer of two, without the one step of
   * decode: a little more than from prefill's end to that step.
   */
  private static double tail(InferenceClient.Answer answer) {
    return answer.finished().getTimeline().getTotalMs()
        - answer.finished().getTimeline().getTtftMs()
        - timing(answer, Stage.STAGE_DECODE).getComputeMs();
  }

  private GenerateRequest request() {
    return InferenceClient.question(
        "",
        List.of(),
        "the ".repeat(WORDS),
        SamplingParams.newBuilder().setTemperature(0).setMaxTokens(2).setIgnoreEos(true).build());
  }

  @Override
  public void forget() {
    samples.forget();
  }

  @Override
  public void report(Report report) {
    report.figure("handoff_tail_of_transfer", Report.rounded(samples.median("ratio")));
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("line", name());
    row.put("prompt_tokens", (int) samples.median("tokens"));
    row.put("kv_mib", Report.rounded(samples.median("moved_mib")));
    row.put("transfer_strict_ms", Report.rounded(samples.median("transfer_ms")));
    row.put("tail_strict_ms", Report.rounded(samples.median("strict_tail_ms")));
    row.put("tail_ms", Report.rounded(samples.median("tail_ms")));
    row.put("handoff_ms", Report.rounded(samples.median("handoff_ms")));
    row.put("transfer_overlapped_ms", Report.rounded(samples.median("overlapped_ms")));
    report.row(row);
  }

  @Override
  public void close() {
    sides.close();
    try (Stream<Path> files = Files.list(model)) {
      for (Path file : files.toList()) {
        Files.delete(file);
      }
      Files.delete(model);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
