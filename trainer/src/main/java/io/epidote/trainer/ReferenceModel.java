package io.epidote.trainer;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.jni.JniUtils;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.trainer.Safetensors.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The shipped model computed by PyTorch, from the same files but by none of the serving code: what
 * the ONNX graphs are compared with. Not safe for several threads. Holds the weights until it is
 * closed.
 */
public final class ReferenceModel implements AutoCloseable {
  private static final float HIDDEN = -1e9f;

  private final ModelConfig config;
  private final int imageToken;
  private final NDManager manager;
  private final SceneNet net;

  /**
   * Loads a folder as {@code models/scenes}.
   *
   * @param folder with config.json and model.safetensors
   * @throws IOException when a file cannot be read
   * @throws IllegalArgumentException when a tensor is missing
   */
  public ReferenceModel(Path folder) throws IOException {
    this(folder, null);
  }

  /**
   * Loads a folder with an adapter's experts in the places of the base's.
   *
   * @param folder with config.json and model.safetensors
   * @param adapter folder of an adapter, or null for the base alone
   * @throws IOException when a file cannot be read, or the adapter does not fit the base
   */
  public ReferenceModel(Path folder, @Nullable Path adapter) throws IOException {
    JsonNode json = new ObjectMapper().readTree(folder.resolve("config.json").toFile());
    this.config = config(json);
    this.imageToken = json.path("image_token_id").asInt();
    this.manager = NDManager.newBaseManager(Device.cpu(), "PyTorch");
    Map<String, Tensor> tensors = Safetensors.read(folder.resolve("model.safetensors"));
    if (adapter != null) {
      tensors = AdapterFolder.merge(tensors, adapter);
    }
    Map<String, NDArray> parameters = new LinkedHashMap<>();
    new Checkpoint(config)
        .load(tensors)
        .forEach((name, tensor) ->
            parameters.put(name, manager.create(tensor.data(), new Shape(tensor.shape()))));
    this.net = new SceneNet(config, parameters);
  }

  /**
   * Logits of every token of a prompt.
   *
   * @param tokenIds the prompt, expanded: 16 image tokens for every tile
   * @param tiles each [3, 64, 64] from -1 to 1, row-major, in the order of their image tokens; may
   *     be empty
   * @return [tokens, vocabulary]
   * @throws IllegalArgumentException when the image tokens do not match the tiles
   */
  public float[][] logits(long[] tokenIds, float[][] tiles) {
    int length = tokenIds.length;
    long[] ids = tokenIds.clone();
    int media = 0;
    for (int i = 0; i < length; i++) {
      if (ids[i] == imageToken) {
        ids[i] = config.vocabulary() + media++;
      }
    }
    if (media != tiles.length * ModelConfig.TILE_TOKENS) {
      throw new IllegalArgumentException(
          "the prompt has %d image tokens, but %d tiles make %d: expand the prompt for these tiles"
              .formatted(media, tiles.length, tiles.length * ModelConfig.TILE_TOKENS));
    }
    int half = config.headDim() / 2;
    float[] cos = new float[length * half];
    float[] sin = new float[length * half];
    float[] mask = new float[length * length];
    long[] selected = new long[length];
    for (int i = 0; i < length; i++) {
      Batch.rotate(cos, sin, i * half, half, i);
      java.util.Arrays.fill(mask, i * length + i + 1, (i + 1) * length, HIDDEN);
      selected[i] = i;
    }
    JniUtils.setGradMode(false);
    JniUtils.setNumThreads(1); // small products: a second thread would mostly wait
    try (NDManager step = manager.newSubManager()) {
      Shape angles = new Shape(1, length, 1, half);
      NDArray logits =
          net.decode(
                  media(step, tiles),
                  step.create(ids, new Shape(1, length)),
                  step.create(cos, angles),
                  step.create(sin, angles),
                  step.create(mask, new Shape(1, 1, length, length)),
                  step.create(selected))
              .logits();
      float[] flat = logits.toFloatArray();
      float[][] out = new float[length][];
      for (int i = 0; i < length; i++) {
        out[i] =
            java.util.Arrays.copyOfRange(
                flat, i * config.vocabulary(), (i + 1) * config.vocabulary());
      }
      return out;
    } finally {
      JniUtils.setGradMode(true);
    }
  }

  /**
   * Media tokens of one tile.
   *
   * @param tile [3, 64, 64], row-major, from -1 to 1
   * @return [16, hidden]
   */
  public float[][] mediaTokens(float[] tile) {
    JniUtils.setGradMode(false);
    JniUtils.setNumThreads(1); // small products: a second thread would mostly wait
    try (NDManager step = manager.newSubManager()) {
      float[] flat = media(step, new float[][] {tile}).toFloatArray();
      float[][] out = new float[ModelConfig.TILE_TOKENS][];
      for (int i = 0; i < out.length; i++) {
        out[i] = java.util.Arrays.copyOfRange(flat, i * config.hidden(), (i + 1) * config.hidden());
      }
      return out;
    } finally {
      JniUtils.setGradMode(true);
    }
  }

  /** The most likely token at every selected position of a batch. */
  long[] predict(Batch batch) {
    JniUtils.setGradMode(false);
    JniUtils.setNumThreads(1);
    try (NDManager step = manager.newSubManager()) {
      NDArray features = net.tower(Worker.tiles(step, batch), List.of(), false);
      return Worker.decode(step, net, net.connector(features), batch)
          .logits()
          .argMax(1)
          .toLongArray();
    } finally {
      JniUtils.setGradMode(true);
    }
  }

  ModelConfig config() {
    return config;
  }

  @Override
  public void close() {
    manager.close();
  }

  private NDArray media(NDManager step, float[][] tiles) {
    if (tiles.length == 0) {
      return step.zeros(new Shape(1, config.hidden())); // looked up by no token
    }
    int size = 3 * ModelConfig.TILE * ModelConfig.TILE;
    float[] pixels = new float[tiles.length * size];
    for (int i = 0; i < tiles.length; i++) {
      if (tiles[i].length != size) {
        throw new IllegalArgumentException(
            "tile %d has %d values, expected %d".formatted(i, tiles[i].length, size));
      }
      System.arraycopy(tiles[i], 0, pixels, i * size, size);
    }
    NDArray array =
        step.create(pixels, new Shape(tiles.length, 3, ModelConfig.TILE, ModelConfig.TILE));
    return net.connector(net.tower(array, List.of(), false));
  }

  private static ModelConfig config(JsonNode json) {
    JsonNode vision = json.path("vision_config");
    JsonNode text = json.path("text_config");
    List<ModelConfig.Conv> stem = new ArrayList<>();
    int in = 3;
    for (JsonNode conv : vision.path("conv_stem")) {
      int out = conv.path("out_channels").asInt();
      stem.add(new ModelConfig.Conv(in, out, conv.path("stride").asInt()));
      in = out;
    }
    return new ModelConfig(
        text.path("hidden_size").asInt(),
        vision.path("num_hidden_layers").asInt(),
        vision.path("num_attention_heads").asInt(),
        vision.path("intermediate_size").asInt(),
        stem,
        text.path("num_hidden_layers").asInt(),
        text.path("num_attention_heads").asInt(),
        text.path("num_key_value_heads").asInt(),
        text.path("head_dim").asInt(),
        text.path("num_local_experts").asInt(),
        text.path("num_experts_per_tok").asInt(),
        text.path("intermediate_size").asInt(),
        text.path("vocab_size").asInt());
  }
}
