package io.epidote.engine.text;

import io.epidote.engine.checkpoint.Connector;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.image.MediaPlan;
import java.util.List;

/** How a media item's tiles are written in a prompt, as the model's processor does. */
interface MediaMarkup {
  String IMAGE = "<image>";

  /** The markers that stand in every item's text, each a token of the model. */
  List<String> markers();

  void append(StringBuilder text, MediaPlan plan);

  /** Whether the processor puts the tokenizer's first token before a prompt that lacks it. */
  boolean begins();

  /**
   * Of a model with a vision tower.
   *
   * @param tokenizer to look up markers that depend on the item
   */
  static MediaMarkup of(ModelConfig config, Tokenizer tokenizer) {
    String tile = IMAGE.repeat(config.tileTokens());
    return switch (config.vision().orElseThrow().connector()) {
      case Connector.PixelShuffle _ -> new Idefics3Markup(tokenizer, tile);
      case Connector.Mlp _ -> new LlavaMarkup(tile);
    };
  }
}
