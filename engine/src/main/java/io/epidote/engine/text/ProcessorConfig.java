package io.epidote.engine.text;

import io.epidote.engine.checkpoint.ConfigFile;
import io.epidote.engine.checkpoint.Connector;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.checkpoint.VisionConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.nio.file.Path;
import java.util.Optional;

/**
 * {@code processor_config.json} says once more how many image tokens a tile becomes, which follows
 * from {@code config.json}: the two must agree, or the model was made for other prompts.
 */
final class ProcessorConfig {
  private ProcessorConfig() {}

  /**
   * Compares, if there is such a file.
   *
   * @throws BadCheckpoint naming the key that differs
   */
  static void check(Path folder, ModelConfig model, VisionConfig vision) {
    Optional<ConfigFile> file = ConfigFile.readIfPresent(folder.resolve("processor_config.json"));
    file.ifPresent(config -> {
      switch (vision.connector()) {
        case Connector.PixelShuffle _ -> checkTokens(config, "image_seq_len", 0, model);
        case Connector.Mlp mlp -> {
          String strategy = mlp.dropsFirst() ? "default" : "full";
          String key = "vision_feature_select_strategy";
          if (!config.text(key, strategy).equals(strategy)) {
            throw config.wrong(key, "config.json's \"" + strategy + "\"");
          }
          if (config.positive("patch_size", vision.patchSize()) != vision.patchSize()) {
            throw config.wrong("patch_size", "vision_config.patch_size = " + vision.patchSize());
          }
          int patches = vision.grid() * vision.grid();
          checkTokens(
              config, "num_additional_image_tokens", patches - (mlp.dropsFirst() ? 1 : 0), model);
        }
      }
    });
  }

  /**
   * @param others tokens beside those that the key counts
   */
  private static void checkTokens(ConfigFile config, String key, int others, ModelConfig model) {
    int expected = model.tileTokens() - others;
    if (config.integer(key, expected) != expected) {
      throw config.wrong(
          key, "%d: config.json makes %d tokens of a tile".formatted(expected, model.tileTokens()));
    }
  }
}
