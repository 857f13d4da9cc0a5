package io.epidote.engine.reference;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.DType;
import io.epidote.engine.checkpoint.SafetensorsWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Writes a {@link VisionReferenceModel}'s folder: the text model first, then the tower, then the
 * connector, drawn as {@link ReferenceCheckpoint} does.
 */
final class VisionReferenceCheckpoint {
  private final VisionReferenceModel model;
  private final JsonNode vision;
  private final ReferenceCheckpoint weights;
  private final int hidden;
  private final int textHidden;

  private VisionReferenceCheckpoint(VisionReferenceModel model, ObjectNode config) {
    this.model = model;
    this.vision = config.get("vision_config");
    ObjectNode text = (ObjectNode) config.get("text_config");
    this.weights = new ReferenceCheckpoint(text, model.seed());
    this.hidden = size("hidden_size");
    this.textHidden = text.get("hidden_size").intValue();
  }

  static Path write(VisionReferenceModel model, Path folder) {
    ObjectNode config = model.config();
    VisionReferenceCheckpoint checkpoint = new VisionReferenceCheckpoint(model, config);
    checkpoint.weights.drawText(model.text(), model.head());
    checkpoint.drawTower(model.vision());
    checkpoint.drawConnector(model.connector());
    CheckpointFixture.writeJson(folder.resolve("config.json"), config);
    SafetensorsWriter.write(
        folder.resolve("model.safetensors"), checkpoint.weights.tensors(), DType.F32);
    ByteBuffer tile =
        ByteBuffer.allocate(model.tile().remaining() * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    tile.asFloatBuffer().put(model.tile());
    try {
      Files.write(folder.resolve("tile.f32"), tile.array());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return folder;
  }

  private void drawTower(String tower) {
    int patch = size("patch_size");
    int grid = size("image_size") / patch;
    boolean clip = model == VisionReferenceModel.LLAVA_CLIP;
    int inputs = 3 * patch * patch;
    String embeddings = tower + "embeddings.";
    weights.add(
        embeddings + "patch_embedding.weight", 0, 1.5 / Math.sqrt(inputs), hidden, 3, patch, patch);
    if (clip) {
      weights.add(embeddings + "class_embedding", 0, 1, hidden);
      norm(tower + "pre_layrnorm");
    } else {
      weights.add(embeddings + "patch_embedding.bias", 0, 0.5, hidden);
    }
    weights.add(
        embeddings + "position_embedding.weight", 0, 1, grid * grid + (clip ? 1 : 0), hidden);
    for (int layer = 0; layer < size("num_hidden_layers"); layer++) {
      String name = tower + "encoder.layers." + layer + ".";
      norm(name + "layer_norm1");
      for (String projection : List.of("q_proj", "k_proj", "v_proj", "out_proj")) {
        linear(name + "self_attn." + projection, hidden, hidden);
      }
      norm(name + "layer_norm2");
      linear(name + "mlp.fc1", size("intermediate_size"), hidden);
      linear(name + "mlp.fc2", hidden, size("intermediate_size"));
    }
    norm(tower + "post_layernorm");
  }

  private void drawConnector(String connector) {
    if (model == VisionReferenceModel.IDEFICS3) {
      int scale = model.config().get("scale_factor").intValue();
      weights.linear(connector + "proj", 1, textHidden, hidden * scale * scale);
    } else {
      linear(connector + "linear_1", textHidden, hidden);
      linear(connector + "linear_2", textHidden, textHidden);
    }
  }

  private void norm(String module) {
    weights.norm(module + ".weight", hidden);
    weights.add(module + ".bias", 0, 0.1, hidden);
  }

  private void linear(String module, int out, int in) {
    weights.linear(module, 1.5, out, in);
    weights.add(module + ".bias", 0, 0.3, out);
  }

  private int size(String key) {
    return vision.get(key).intValue();
  }
}
