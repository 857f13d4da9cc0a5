package io.epidote.engine.checkpoint;

import java.util.List;
import java.util.Optional;

/**
 * The decoder.
 *
 * @param intermediateSize width of the dense feed-forward layers; not used where {@code moe} is
 * @param windows for each layer, how many of the latest tokens a token attends to, itself among
 *     them; {@code contextTokens} where it attends to all
 * @param contextTokens the longest sequence, prompt and answer together
 * @param attentionBiases of the attention's linear layers
 * @param tiedEmbeddings whether the head is the embedding's matrix
 */
public record TextConfig(
    Family family,
    int hiddenSize,
    int layers,
    int heads,
    int kvHeads,
    int headDim,
    int intermediateSize,
    float rmsNormEps,
    Rope rope,
    List<Integer> windows,
    int contextTokens,
    int vocabulary,
    Biases attentionBiases,
    boolean tiedEmbeddings,
    Optional<MoeConfig> moe) {
  public TextConfig {
    windows = List.copyOf(windows);
  }
}
