package io.epidote.engine.emulated;

import io.epidote.engine.checkpoint.RandomCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.nio.file.Path;

/**
 * The sizes of an emulated model that queues and blocks see. Its folder is a small stand-in: a
 * picture has the tiles and tokens of the real model, and a token's media row and its keys and
 * values are smaller by the same factor, {@link #byteScale}, so that hundreds of gigabytes of a
 * cluster's memory fit a laptop.
 *
 * <p>Pictures are cut as Idefics3 cuts them, into a grid with an overview. That is how MiniCPM-V
 * and InternVL cut a large picture of 4 to 3, for which grids are the same; others may have more or
 * fewer tiles than theirs.
 *
 * @param tileSize edge of a tile, pixels
 * @param longestEdge to which larger pictures are made smaller, pixels
 * @param tileTokens media tokens of a tile
 * @param mediaTokenBytes of a media token on the device
 * @param kvTokenBytes of a token's keys and values on the device
 * @param contextTokens the longest sequence
 */
public record EmulatedShape(
    int tileSize,
    int longestEdge,
    int tileTokens,
    int mediaTokenBytes,
    int kvTokenBytes,
    int contextTokens) {
  private static final int PATCH = 14;
  private static final int HIDDEN = 16;
  private static final int VOCABULARY = 1024;
  private static final int IMAGE_TOKEN = 1000;

  /** A layer's key and value, float32. */
  private static final int BYTES_OF_DIMENSION = 2 * Float.BYTES;

  public EmulatedShape {
    int patches = tileSize / PATCH;
    int shuffle = tileTokens < 1 ? 0 : (int) Math.round(patches / Math.sqrt(tileTokens));
    if (shuffle < 1 || shuffle * shuffle * tileTokens != patches * patches) {
      throw new InvalidRequest(
          "model.tile_tokens = %d does not work: a tile of %d pixels has %d patches of %d, of which squares become tokens: expected %d divided by a square"
              .formatted(tileTokens, tileSize, patches * patches, PATCH, patches * patches));
    }
    int rowBytes = HIDDEN * Float.BYTES;
    long standInBytes = (long) kvTokenBytes * rowBytes / Math.max(1, mediaTokenBytes);
    if (mediaTokenBytes % rowBytes != 0
        || standInBytes * mediaTokenBytes != (long) kvTokenBytes * rowBytes
        || standInBytes % (2 * BYTES_OF_DIMENSION) != 0) {
      throw new InvalidRequest(
          "model.media_token_bytes = %d and model.kv_token_bytes = %d do not work: expected the first to be a multiple of %d, and the second to be a multiple of a quarter of it"
              .formatted(mediaTokenBytes, kvTokenBytes, rowBytes));
    }
  }

  /** Bytes of the device for which one of the stand-in's stands. */
  public int byteScale() {
    return mediaTokenBytes / (HIDDEN * Float.BYTES);
  }

  /**
   * The stand-in's folder, made first when it is not there.
   *
   * @param root folder of such folders
   */
  public Path folder(Path root) {
    return RandomCheckpoint.folder(root, "emulated", config(), preprocessing());
  }

  private String config() {
    int shuffle = (int) Math.round(tileSize / PATCH / Math.sqrt(tileTokens));
    return """
    {"model_type": "idefics3", "image_token_id": %d, "scale_factor": %d,
     "tie_word_embeddings": true,
     "vision_config": {"model_type": "idefics3_vision", "hidden_size": %d,
      "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": %d,
      "image_size": %d, "patch_size": %d},
     "text_config": {"model_type": "llama", "hidden_size": %d, "num_attention_heads": 1,
      "num_key_value_heads": 1, "head_dim": %d, "num_hidden_layers": 1,
      "intermediate_size": %d, "hidden_act": "silu", "rms_norm_eps": 1e-5,
      "rope_theta": 100000.0, "max_position_embeddings": %d, "vocab_size": %d,
      "tie_word_embeddings": true}}\
    """
        .formatted(
            IMAGE_TOKEN,
            shuffle,
            HIDDEN,
            HIDDEN,
            tileSize,
            PATCH,
            HIDDEN,
            kvTokenBytes / byteScale() / BYTES_OF_DIMENSION,
            HIDDEN,
            contextTokens,
            VOCABULARY);
  }

  private String preprocessing() {
    return """
    {"image_processor_type": "Idefics3ImageProcessor", "size": {"longest_edge": %d},
     "max_image_size": {"longest_edge": %d}, "upscale": false,
     "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}\
    """
        .formatted(longestEdge, tileSize);
  }
}
