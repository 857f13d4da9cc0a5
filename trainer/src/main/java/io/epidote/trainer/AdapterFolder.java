package io.epidote.trainer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.trainer.Safetensors.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * An adapter on disk, in the public form of expert-specialised fine-tuning: {@code expert_cfg.json}
 * names the experts, {@code adapter.safetensors} has their tensors and no others, under the base's
 * names.
 */
final class AdapterFolder {
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

  private static final String CONFIG = "expert_cfg.json";
  private static final String WEIGHTS = "adapter.safetensors";

  private AdapterFolder() {}

  /** Writes both files; existing ones are replaced. */
  static void write(Path folder, ModelConfig config, ExpertParameters experts, float[] flat)
      throws IOException {
    Files.createDirectories(folder);
    ObjectNode root = JSON.createObjectNode();
    ObjectNode layers = root.putObject("experts");
    experts
        .experts()
        .forEach((layer, list) -> {
          ArrayNode array = layers.putArray(Integer.toString(layer));
          list.forEach(array::add);
        });
    root.put("shared_experts", false).put("non_expert_modules", false);
    Files.writeString(folder.resolve(CONFIG), JSON.writeValueAsString(root) + "\n");
    Safetensors.write(
        folder.resolve(WEIGHTS), new Checkpoint(config).exportExperts(experts.tensors(flat)));
  }

  /**
   * The base's tensors with the adapter's in their places.
   *
   * @throws IOException when the tensors are not exactly those that the configuration names
   */
  static Map<String, Tensor> merge(Map<String, Tensor> base, Path folder) throws IOException {
    Map<String, Tensor> adapter = Safetensors.read(folder.resolve(WEIGHTS));
    JsonNode config = JSON.readTree(folder.resolve(CONFIG).toFile());
    int named = 0;
    Map<String, Tensor> merged = new LinkedHashMap<>(base);
    for (var layer : config.path("experts").properties()) {
      for (JsonNode expert : layer.getValue()) {
        for (String name :
            Checkpoint.expertTensors(Integer.parseInt(layer.getKey()), expert.asInt())) {
          Tensor tensor = adapter.get(name);
          Tensor replaced = base.get(name);
          if (tensor == null
              || replaced == null
              || !java.util.Arrays.equals(tensor.shape(), replaced.shape())) {
            throw new IOException(
                folder
                    + ": "
                    + name
                    + " is named by "
                    + CONFIG
                    + ", but not in adapter and base alike");
          }
          merged.put(name, tensor);
          named++;
        }
      }
    }
    if (named != adapter.size()) {
      throw new IOException(
          "%s: %s names %d tensors, %s has %d"
              .formatted(folder, CONFIG, named, WEIGHTS, adapter.size()));
    }
    return merged;
  }
}
