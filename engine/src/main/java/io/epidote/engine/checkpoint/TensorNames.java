package io.epidote.engine.checkpoint;

import java.util.List;

/**
 * Where a checkpoint's tensors are. LLaVA's were published in two forms, before and after Hugging
 * Face moved the language model's head out of it.
 *
 * @param text before the decoder's {@code embed_tokens}, {@code layers} and {@code norm}
 * @param head the whole name of the decoder's head
 * @param vision before the tower's {@code embeddings} and {@code encoder}; empty without a tower
 * @param connector before the connector's layers; empty without a tower
 */
public record TensorNames(String text, String head, String vision, String connector) {
  private static final TensorNames TEXT_ONLY = new TensorNames("model.", "lm_head.weight", "", "");
  private static final TensorNames IDEFICS3 =
      new TensorNames(
          "model.text_model.",
          "lm_head.weight",
          "model.vision_model.",
          "model.connector.modality_projection.");
  private static final List<TensorNames> LLAVA =
      List.of(
          new TensorNames(
              "model.language_model.",
              "lm_head.weight",
              "model.vision_tower.vision_model.",
              "model.multi_modal_projector."),
          new TensorNames(
              "language_model.model.",
              "language_model.lm_head.weight",
              "vision_tower.vision_model.",
              "multi_modal_projector."));

  /** The names in this checkpoint. */
  public static TensorNames of(Checkpoint checkpoint) {
    return checkpoint
        .config()
        .vision()
        .map(vision ->
            switch (vision.connector()) {
              case Connector.PixelShuffle _ -> IDEFICS3;
              case Connector.Mlp _ ->
                  LLAVA.stream()
                      .filter(names -> checkpoint.has(names.text() + "embed_tokens.weight"))
                      .findFirst()
                      .orElse(LLAVA.getFirst());
            })
        .orElse(TEXT_ONLY);
  }
}
