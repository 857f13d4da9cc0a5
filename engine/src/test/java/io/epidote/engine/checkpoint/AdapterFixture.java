package io.epidote.engine.checkpoint;

import static java.util.Objects.requireNonNull;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.checkpoint.SafetensorsWriter.Tensor;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeSet;

/** Adapters with random weights for {@link CheckpointFixture}'s models, and what merging gives. */
public final class AdapterFixture {
  private static final ObjectMapper MAPPER = new ObjectMapper();

  private AdapterFixture() {}

  /** Tensors that an ESFT adapter with these experts, by layer, holds. */
  public static Map<String, Tensor> experts(
      Form form, Map<Integer, List<Integer>> experts, long seed) {
    Map<String, Tensor> own = new LinkedHashMap<>();
    CheckpointFixture.tensors(form, seed)
        .forEach((name, tensor) ->
            experts.forEach((layer, numbers) ->
                numbers.forEach(number -> {
                  if (name.contains("layers.%d.".formatted(layer))
                      && name.contains(".experts.%d.".formatted(number))) {
                    own.put(name, tensor);
                  }
                })));
    return own;
  }

  /** {@code expert_cfg.json}, to be changed at will before it is written. */
  public static ObjectNode esftConfig(Map<Integer, List<Integer>> experts) {
    ObjectNode config = MAPPER.createObjectNode();
    ObjectNode layers = config.putObject("experts");
    experts.forEach((layer, numbers) -> numbers.forEach(layers.withArray(layer.toString())::add));
    return config.put("shared_experts", false).put("non_expert_modules", false);
  }

  /** Writes an ESFT adapter. */
  public static Path esft(Path folder, Form form, Map<Integer, List<Integer>> experts, long seed) {
    CheckpointFixture.writeJson(folder.resolve("expert_cfg.json"), esftConfig(experts));
    SafetensorsWriter.write(
        folder.resolve("adapter.safetensors"), experts(form, experts, seed), DType.F32);
    return folder;
  }

  /** {@code adapter_config.json}, to be changed at will before it is written. */
  public static ObjectNode loraConfig(int rank, int alpha, Iterable<String> targets) {
    ObjectNode config = MAPPER.createObjectNode();
    targets.forEach(config.putArray("target_modules")::add);
    return config
        .put("peft_type", "LORA")
        .put("task_type", "CAUSAL_LM")
        .put("base_model_name_or_path", "somewhere/base")
        .put("r", rank)
        .put("lora_alpha", alpha)
        .put("lora_dropout", 0.05)
        .put("bias", "none")
        .put("inference_mode", true)
        .put("use_dora", false)
        .put("use_rslora", false)
        .put("init_lora_weights", true)
        .putNull("modules_to_save")
        .putNull("layers_to_transform");
  }

  /** The modules of the decoder's layers whose last name is one of these. */
  public static TreeSet<String> modules(Map<String, Tensor> base, List<String> targets) {
    TreeSet<String> modules = new TreeSet<>();
    for (String name : base.keySet()) {
      String module = name.replaceAll("\\.weight$", "");
      if (!name.contains("vision")
          && name.contains("layers.")
          && name.endsWith(".weight")
          && targets.contains(module.substring(module.lastIndexOf('.') + 1))) {
        modules.add(module);
      }
    }
    return modules;
  }

  /** Tensors of a LoRA on these modules. */
  public static Map<String, Tensor> lowRank(
      Map<String, Tensor> base, Iterable<String> modules, int rank, long seed) {
    Random random = new Random(seed);
    Map<String, Tensor> own = new LinkedHashMap<>();
    for (String module : modules) {
      List<Long> shape = requireNonNull(base.get(module + ".weight")).shape();
      String name = "base_model.model." + module;
      own.put(name + ".lora_A.weight", CheckpointFixture.random(random, 0, rank, shape.get(1)));
      own.put(name + ".lora_B.weight", CheckpointFixture.random(random, 0, shape.get(0), rank));
    }
    return own;
  }

  /** Base weights with an adapter's in their place, or with its products added. */
  public static Map<String, Tensor> merge(
      Map<String, Tensor> base, Map<String, Tensor> own, double scale) {
    Map<String, Tensor> merged = new LinkedHashMap<>(base);
    own.forEach((name, a) -> {
      if (!name.contains("lora_")) {
        merged.put(name, a);
      } else if (name.contains("lora_A")) {
        Tensor b = requireNonNull(own.get(name.replace("lora_A", "lora_B")));
        String weight = name.replace("base_model.model.", "").replace(".lora_A", "");
        int rows = Math.toIntExact(b.shape().get(0));
        int rank = Math.toIntExact(b.shape().get(1));
        int columns = Math.toIntExact(a.shape().get(1));
        Tensor before = requireNonNull(base.get(weight));
        float[] values = before.values().clone();
        for (int r = 0; r < rows; r++) {
          for (int c = 0; c < columns; c++) {
            double sum = 0;
            for (int k = 0; k < rank; k++) {
              sum += (double) b.values()[r * rank + k] * a.values()[k * columns + c];
            }
            values[r * columns + c] += (float) (scale * sum);
          }
        }
        merged.put(weight, new Tensor(before.shape(), values));
      }
    });
    return merged;
  }
}
