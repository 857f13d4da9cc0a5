package io.epidote.trainer;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.epidote.scenes.AnswerForm;
import io.epidote.scenes.SceneSet;
import io.epidote.scenes.Task;
import io.epidote.trainer.Safetensors.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Expert-specialised fine-tuning on a tiny model of the same form. */
class AdapterNetTest {
  private static final ModelConfig TINY = ModelConfig.tiny();
  private static final Vocabulary VOCABULARY = new Vocabulary();
  private static final SortedMap<Integer, List<Integer>> CHOSEN =
      new TreeMap<>(Map.of(0, List.of(1, 3), 1, List.of(0)));

  @Test
  void stepsLowerTheLossAndTouchNoOtherExpert(@TempDir Path folder) throws IOException {
    Path model = folder.resolve("model");
    TrainingState.fresh(TINY, 3).export(model);
    Map<String, Tensor> base = base(model);
    ExpertParameters experts = new ExpertParameters(TINY, CHOSEN);
    float[] flat = experts.initial(base);
    float[] before = flat.clone();
    AdamW optimizer = new AdamW(new float[flat.length]);
    try (AdapterNet net = new AdapterNet(TINY, base, experts)) {
      AdapterBatches.Prepared batch =
          new AdapterBatches(TINY, VOCABULARY, AnswerForm.COLORS, 1, net::media).get();
      float loss = net.gradient(flat, batch).loss();
      for (int i = 0; i < 5; i++) {
        optimizer.update(flat, net.gradient(flat, batch).gradient(), 3e-3f, 0, flat.length);
      }
      assertThat(net.gradient(flat, batch).loss()).isLessThan(loss - 0.05f);
    }
    assertThat(flat).isNotEqualTo(before);

    Path adapter = folder.resolve("adapter");
    AdapterFolder.write(adapter, TINY, experts, flat);
    Map<String, Tensor> original = Safetensors.read(model.resolve("model.safetensors"));
    Map<String, Tensor> merged = AdapterFolder.merge(original, adapter);
    assertThat(merged.keySet()).isEqualTo(original.keySet());
    List<String> changed =
        merged.entrySet().stream()
            .filter(e ->
                !Arrays.equals(
                    e.getValue().data(), requireNonNull(original.get(e.getKey())).data()))
            .map(Map.Entry::getKey)
            .toList();
    List<String> expected =
        CHOSEN.entrySet().stream()
            .flatMap(e ->
                e.getValue().stream()
                    .flatMap(expert -> Checkpoint.expertTensors(e.getKey(), expert).stream()))
            .toList();
    assertThat(changed).isNotEmpty();
    assertThat(expected).containsAll(changed);
    assertThat(Safetensors.read(adapter.resolve("adapter.safetensors"))).containsOnlyKeys(expected);
  }

  @Test
  void theMergedModelComputesWhatWasTrained(@TempDir Path folder) throws IOException {
    Path model = folder.resolve("model");
    TrainingState.fresh(TINY, 4).export(model);
    Map<String, Tensor> base = base(model);
    ExpertParameters experts = new ExpertParameters(TINY, CHOSEN);
    float[] flat = experts.initial(base);
    for (int i = 0; i < flat.length; i++) {
      flat[i] += 0.05f * (i % 5 - 2);
    }
    Path adapter = folder.resolve("adapter");
    AdapterFolder.write(adapter, TINY, experts, flat);
    Batch batch = batch(AnswerForm.JSON);
    try (AdapterNet net = new AdapterNet(TINY, base, experts);
        ReferenceModel alone = new ReferenceModel(model);
        ReferenceModel merged = new ReferenceModel(model, adapter)) {
      assertThat(merged.predict(batch)).isEqualTo(net.predict(flat, batch));
      assertThat(merged.predict(batch)).isNotEqualTo(alone.predict(batch));
      assertThat(net.predict(experts.initial(base), batch)).isEqualTo(alone.predict(batch));
    }
  }

  @Test
  void scoresOfALayerSumToOneAndTheFewestThatReachPAreChosen(@TempDir Path folder)
      throws IOException {
    Path model = folder.resolve("model");
    TrainingState.fresh(TINY, 5).export(model);
    ExpertScores scores = new ExpertScores(TINY);
    ExpertParameters none = new ExpertParameters(TINY, new TreeMap<>());
    try (AdapterNet net = new AdapterNet(TINY, base(model), none)) {
      AdapterBatches data = new AdapterBatches(TINY, VOCABULARY, AnswerForm.PLACES, 2, net::media);
      for (int i = 0; i < 3; i++) {
        net.score(scores, data.row());
      }
    }
    for (int layer = 0; layer < TINY.textLayers(); layer++) {
      assertThat(Arrays.stream(scores.tokenRatios(layer)).sum()).isCloseTo(1, within(1e-3));
      assertThat(Arrays.stream(scores.gateScores(layer)).sum()).isCloseTo(1, within(1e-3));
    }
    double[] layer = {0.1, 0.15, 0.3, 0.45};
    assertThat(ExpertScores.choose(List.of(layer), 0.2)).isEqualTo(Map.of(0, List.of(3)));
    assertThat(ExpertScores.choose(List.of(layer), 0.5)).isEqualTo(Map.of(0, List.of(2, 3)));
    assertThat(ExpertScores.choose(List.of(layer), 1).get(0)).hasSize(4);
  }

  @Test
  void anAdapterThatDoesNotFitIsRefused(@TempDir Path folder) throws IOException {
    Path model = folder.resolve("model");
    TrainingState.fresh(TINY, 6).export(model);
    ExpertParameters experts = new ExpertParameters(TINY, CHOSEN);
    Path adapter = folder.resolve("adapter");
    AdapterFolder.write(adapter, TINY, experts, experts.initial(base(model)));
    Map<String, Tensor> original = Safetensors.read(model.resolve("model.safetensors"));
    Path config = adapter.resolve("expert_cfg.json");
    String text = Files.readString(config);
    Files.writeString(config, text.replace("[ 1, 3 ]", "[ 1 ]"));
    assertThatThrownBy(() -> AdapterFolder.merge(original, adapter))
        .isInstanceOf(IOException.class)
        .hasMessageContaining("names 6 tensors")
        .hasMessageContaining("has 9");
    Files.writeString(config, text.replace("[ 1, 3 ]", "[ 1, 2 ]"));
    assertThatThrownBy(() -> AdapterFolder.merge(original, adapter))
        .isInstanceOf(IOException.class)
        .hasMessageContaining("experts.2.w1.weight");
  }

  private static Map<String, Tensor> base(Path model) throws IOException {
    return new Checkpoint(TINY).load(Safetensors.read(model.resolve("model.safetensors")));
  }

  private static Batch batch(AnswerForm form) {
    return Batch.of(
        TINY,
        IntStream.range(0, 6)
            .mapToObj(i -> {
              Task task = SceneSet.heldOut(40, i, form);
              return Sample.of(VOCABULARY, task, false);
            })
            .collect(Collectors.toList()));
  }
}
