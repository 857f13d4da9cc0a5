package io.epidote.engine.model;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.checkpoint.AdapterFixture;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.checkpoint.DType;
import io.epidote.engine.checkpoint.SafetensorsWriter;
import io.epidote.engine.checkpoint.SafetensorsWriter.Tensor;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.NotFound;
import io.epidote.engine.kernel.ExpertLoad;
import io.epidote.engine.memory.BlockPool;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Adapters in one batch with the base give what each merged model gives alone. */
class AdapterTest {
  private static final int ROWS = 16;
  private static final int STEPS = 8;
  private static final long SEED = 11;
  private static final Map<Integer, List<Integer>> ALL_OF_LAYER_1 = Map.of(1, List.of(0, 1, 2, 3));

  @TempDir Path folder;

  static Stream<Arguments> mixtures() {
    return Stream.of(Form.SCENES, Form.MIXTRAL, Form.QWEN2_MOE, Form.DEEPSEEK_V2)
        .flatMap(form ->
            Stream.of(Precision.FP32, Precision.INT8)
                .map(precision -> Arguments.of(form, precision)));
  }

  /** Of three adapters, whose experts overlap. DeepSeek's first layer is dense. */
  private static List<Map<Integer, List<Integer>>> experts(Form form) {
    return form == Form.DEEPSEEK_V2
        ? List.of(Map.of(1, List.of(0, 2)), Map.of(1, List.of(2, 3)), ALL_OF_LAYER_1)
        : List.of(
            Map.of(0, List.of(1), 1, List.of(0, 2)),
            Map.of(0, List.of(0, 1, 3), 1, List.of(2, 3)),
            ALL_OF_LAYER_1);
  }

  @ParameterizedTest
  @MethodSource("mixtures")
  void aMixedBatchOfExpertsHasTheBitsOfEachMergedModel(Form form, Precision precision) {
    List<Path> adapters = new ArrayList<>();
    List<Path> merged = new ArrayList<>();
    Map<String, Tensor> base = CheckpointFixture.tensors(form, SEED);
    merged.add(CheckpointFixture.write(form, folder.resolve("base"), base));
    List<Map<Integer, List<Integer>>> experts = experts(form);
    for (int i = 0; i < experts.size(); i++) {
      adapters.add(AdapterFixture.esft(folder.resolve("a" + i), form, experts.get(i), 50 + i));
      Map<String, Tensor> own = AdapterFixture.experts(form, experts.get(i), 50 + i);
      merged.add(
          CheckpointFixture.write(
              form, folder.resolve("m" + i), AdapterFixture.merge(base, own, 1)));
    }
    float[][][] mixed = mixed(merged.getFirst(), precision, adapters);
    for (int model = 0; model < merged.size(); model++) {
      Map<Integer, float[][]> alone = alone(merged.get(model), precision, model, merged.size());
      alone.forEach((row, answer) -> assertThat(mixed[row]).as("row %d", row).isEqualTo(answer));
    }
    // They are different models indeed.
    assertThat(requireNonNull(alone(merged.get(1), precision, 0, ROWS).get(0))[0])
        .isNotEqualTo(mixed[0][0]);
  }

  static Stream<Arguments> lowRank() {
    List<String> attention = List.of("q_proj", "k_proj", "v_proj", "o_proj");
    return Stream.of(
            Arguments.of(Form.LLAMA_TIED, attention),
            Arguments.of(Form.QWEN2, List.of("q_proj", "v_proj", "up_proj", "down_proj")),
            Arguments.of(Form.LLAMA_BIASES, List.of("gate_proj", "o_proj")),
            Arguments.of(Form.MIXTRAL, List.of("q_proj", "o_proj", "w1", "w2", "w3")),
            Arguments.of(Form.SCENES, List.of("v_proj", "w3", "w2")))
        .flatMap(one ->
            Stream.of(Precision.FP32, Precision.INT8)
                .map(precision -> Arguments.of(one.get()[0], one.get()[1], precision)));
  }

  /** At int8 the merged weights are rounded, and the adapter's are not: the logits are close. */
  @ParameterizedTest
  @MethodSource("lowRank")
  void lowRankAdaptersInOneBatchAreCloseToEachMergedModel(
      Form form, List<String> targets, Precision precision) {
    Map<String, Tensor> base = CheckpointFixture.tensors(form, SEED);
    List<Path> adapters = new ArrayList<>();
    List<Path> merged = new ArrayList<>();
    merged.add(CheckpointFixture.write(form, folder.resolve("base"), base));
    for (int i = 0; i < 2; i++) {
      int rank = i == 0 ? 8 : 5;
      Map<String, Tensor> own =
          AdapterFixture.lowRank(base, AdapterFixture.modules(base, targets), rank, 70 + i);
      Path adapter = folder.resolve("a" + i);
      boolean square = i == 1;
      CheckpointFixture.writeJson(
          adapter.resolve("adapter_config.json"),
          AdapterFixture.loraConfig(rank, 16, targets).put("use_rslora", square));
      SafetensorsWriter.write(adapter.resolve("adapter_model.safetensors"), own, DType.F32);
      adapters.add(adapter);
      double scale = 16 / (square ? Math.sqrt(rank) : rank);
      merged.add(
          CheckpointFixture.write(
              form, folder.resolve("m" + i), AdapterFixture.merge(base, own, scale)));
    }
    float[][][] mixed = mixed(merged.getFirst(), precision, adapters);
    Map<Integer, float[][]> unchanged = alone(merged.getFirst(), precision, 0, 1);
    for (int row = 0; row < ROWS; row += merged.size()) {
      assertThat(mixed[row]).as("row %d of the base", row).isEqualTo(unchanged.get(row));
    }
    double error = 0;
    double change = 0;
    for (int model = 1; model < merged.size(); model++) {
      for (var expected : alone(merged.get(model), precision, model, merged.size()).entrySet()) {
        int row = expected.getKey();
        for (int step = 0; step < (precision == Precision.FP32 ? STEPS : 1); step++) {
          float[] logits = expected.getValue()[step];
          error += distance(mixed[row][step], logits);
          change += distance(requireNonNull(unchanged.get(row))[step], logits);
          if (precision == Precision.FP32) {
            assertThat(argmax(mixed[row][step])).isEqualTo(argmax(logits));
          }
        }
      }
    }
    assertThat(error).isLessThan((precision == Precision.FP32 ? 1e-5 : 0.1) * change);
  }

  /** A row's bits do not hang on which adapters share its step. */
  @ParameterizedTest
  @MethodSource("lowRank")
  void aLowRankAdaptersAnswerDoesNotDependOnTheBatch(
      Form form, List<String> targets, Precision precision) {
    Map<String, Tensor> base = CheckpointFixture.tensors(form, SEED);
    Path adapter = folder.resolve("a");
    CheckpointFixture.writeJson(
        adapter.resolve("adapter_config.json"), AdapterFixture.loraConfig(8, 16, targets));
    SafetensorsWriter.write(
        adapter.resolve("adapter_model.safetensors"),
        AdapterFixture.lowRank(base, AdapterFixture.modules(base, targets), 8, 3),
        DType.BF16);
    try (Checkpoint checkpoint =
            Checkpoint.open(CheckpointFixture.write(form, folder.resolve("base"), base));
        Decoder decoder = open(checkpoint, precision)) {
      Adapters all = decoder.adapters();
      all.load("a", adapter, false);
      LoadedAdapter taken = all.take("a");
      BlockPool kv = decoder.shape().kvPool(64);
      List<SequenceChunk> chunks = new ArrayList<>();
      for (int row = 0; row < ROWS; row++) {
        chunks.add(prompt(decoder, kv, row, row % 3 == 0 ? Optional.empty() : Optional.of(taken)));
      }
      float[][] together = rows(decoder.step(kv, chunks));
      for (int row = 0; row < ROWS; row++) {
        assertThat(rows(decoder.step(kv, List.of(chunks.get(row))))[0]).isEqualTo(together[row]);
      }
      all.give(taken);
    }
  }

  @Test
  void requestsFinishOnTheGenerationThatTheyStartedWith() {
    Form form = Form.MIXTRAL;
    Path base = CheckpointFixture.write(form, folder.resolve("base"), SEED);
    Path first = AdapterFixture.esft(folder.resolve("a"), form, ALL_OF_LAYER_1, 50);
    Path second = AdapterFixture.esft(folder.resolve("b"), form, ALL_OF_LAYER_1, 51);
    try (Checkpoint checkpoint = Checkpoint.open(base);
        Decoder decoder = open(checkpoint, Precision.INT8)) {
      Adapters adapters = decoder.adapters();
      adapters.load("x", first, false);
      assertThatThrownBy(() -> adapters.load("x", second, false))
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining("is loaded already");
      LoadedAdapter before = adapters.take("x");
      BlockPool kv = decoder.shape().kvPool(8);
      SequenceChunk old = prompt(decoder, kv, 3, Optional.of(before));
      float[] expected = rows(decoder.step(kv, List.of(old)))[0];

      adapters.load("x", second, true);
      LoadedAdapter after = adapters.take("x");
      assertThat(after.generation()).isGreaterThan(before.generation());
      assertThat(after.digest()).isNotEqualTo(before.digest());
      SequenceChunk young = prompt(decoder, kv, 3, Optional.of(after));
      float[][] both = rows(decoder.step(kv, List.of(old, young)));
      assertThat(both[0]).isEqualTo(expected);
      assertThat(both[1]).isNotEqualTo(expected);

      adapters.unload("x");
      assertThatThrownBy(() -> adapters.take("x"))
          .isInstanceOf(NotFound.class)
          .hasMessageContaining("no adapter 'x'");
      assertThat(rows(decoder.step(kv, List.of(old, young)))).isEqualTo(both);
      adapters.give(before);
      adapters.give(after);
    }
  }

  /** Every pair of token and expert is counted, for whom it ran, whoever shared the step. */
  @ParameterizedTest
  @MethodSource("mixtures")
  void whatExpertsAreGivenIsCountedByLayerAndAdapter(Form form, Precision precision) {
    Path base = CheckpointFixture.write(form, folder.resolve("base"), SEED);
    Path adapter = AdapterFixture.esft(folder.resolve("a"), form, ALL_OF_LAYER_1, 50);
    try (Checkpoint checkpoint = Checkpoint.open(base);
        Decoder decoder = open(checkpoint, precision)) {
      ExpertLoad load = decoder.expertLoad().orElseThrow();
      int each = checkpoint.config().text().moe().orElseThrow().expertsPerToken();
      decoder.adapters().load("a", adapter, false);
      assertThat(load.slotsLent()).isEqualTo(4);
      LoadedAdapter taken = decoder.adapters().take("a");
      BlockPool kv = decoder.shape().kvPool(16);
      SequenceChunk own = prompt(decoder, kv, 2, Optional.of(taken));
      SequenceChunk others = prompt(decoder, kv, 5, Optional.empty());
      decoder.step(kv, List.of(others, own));
      decoder.step(kv, List.of(own));
      assertThat(load.counts()).containsOnlyKeys(ExpertLoad.BASE, "a");
      int layer = 1;
      assertThat(counted(load, "a", layer)).isEqualTo(2L * own.tokenIds().length * each);
      assertThat(counted(load, ExpertLoad.BASE, layer))
          .isEqualTo((long) others.tokenIds().length * each);
      // Alone and in company, the same experts.
      long[] before = requireNonNull(load.counts().get("a")).clone();
      decoder.step(kv, List.of(own));
      long[] after = requireNonNull(load.counts().get("a"));
      for (int i = 0; i < after.length; i++) {
        assertThat(2 * (after[i] - before[i])).isEqualTo(before[i]);
      }
      decoder.adapters().give(taken);
    }
  }

  private static long counted(ExpertLoad load, String adapter, int layer) {
    long[] counts = requireNonNull(load.counts().get(adapter));
    return IntStream.range(layer * load.experts(), (layer + 1) * load.experts())
        .mapToLong(i -> counts[i])
        .sum();
  }

  private float[][][] mixed(Path base, Precision precision, List<Path> folders) {
    try (Checkpoint checkpoint = Checkpoint.open(base);
        Decoder decoder = open(checkpoint, precision)) {
      List<Optional<LoadedAdapter>> adapters = new ArrayList<>();
      adapters.add(Optional.empty());
      for (Path adapter : folders) {
        String name = adapter.getFileName().toString();
        decoder.adapters().load(name, adapter, false);
        adapters.add(Optional.of(decoder.adapters().take(name)));
      }
      return answers(
          decoder, IntStream.range(0, ROWS).toArray(), row -> adapters.get(row % adapters.size()));
    }
  }

  /** What a model answers to rows {@code first, first + step, ...}, one after the other. */
  private Map<Integer, float[][]> alone(Path model, Precision precision, int first, int step) {
    Map<Integer, float[][]> answers = new TreeMap<>();
    try (Checkpoint checkpoint = Checkpoint.open(model);
        Decoder decoder = open(checkpoint, precision)) {
      for (int row = first; row < ROWS; row += step) {
        answers.put(row, answers(decoder, new int[] {row}, any -> Optional.empty())[0]);
      }
    }
    return answers;
  }

  /** Logits of each row's prompt and of its greedy answer, {@code [rows][STEPS][vocabulary]}. */
  private static float[][][] answers(
      Decoder decoder, int[] rows, IntFunction<Optional<LoadedAdapter>> adapter) {
    BlockPool kv = decoder.shape().kvPool(4 * rows.length);
    List<SequenceChunk> chunks = new ArrayList<>();
    for (int row : rows) {
      chunks.add(prompt(decoder, kv, row, adapter.apply(row)));
    }
    float[][][] answers = new float[rows.length][STEPS][];
    for (int step = 0; step < STEPS; step++) {
      float[][] logits = rows(decoder.step(kv, chunks));
      for (int i = 0; i < rows.length; i++) {
        answers[i][step] = logits[i];
        SequenceChunk chunk = chunks.get(i);
        chunks.set(
            i,
            new SequenceChunk(
                new int[] {argmax(logits[i])},
                chunk.pastTokens() + chunk.tokenIds().length,
                chunk.blocks(),
                List.of(),
                true,
                chunk.adapter()));
      }
    }
    return answers;
  }

  private static SequenceChunk prompt(
      Decoder decoder, BlockPool kv, int row, Optional<LoadedAdapter> adapter) {
    int[] ids = new Random(row).ints(3 + 2 * row, 0, decoder.shape().vocabulary()).toArray();
    int[] blocks = kv.tryAllocate(DecoderShape.blocksFor(ids.length + STEPS)).orElseThrow();
    return new SequenceChunk(ids, 0, blocks, List.of(), true, adapter);
  }

  private static float[][] rows(Logits logits) {
    float[][] rows = new float[logits.rows()][logits.vocabulary()];
    for (int i = 0; i < rows.length; i++) {
      logits.row(i).get(rows[i]);
    }
    return rows;
  }

  private static double distance(float[] a, float[] b) {
    return Math.sqrt(IntStream.range(0, a.length).mapToDouble(i -> Math.pow(a[i] - b[i], 2)).sum());
  }

  private static int argmax(float[] values) {
    int best = 0;
    for (int i = 1; i < values.length; i++) {
      best = values[i] > values[best] ? i : best;
    }
    return best;
  }

  private Decoder open(Checkpoint checkpoint, Precision precision) {
    return new Models(checkpoint, new RuntimeOptions(2, precision, folder.resolve("cache"), true))
        .openDecoder();
  }
}
