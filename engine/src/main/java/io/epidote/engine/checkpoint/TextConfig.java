package io.epidote.engine.checkpoint;

import java.util.List;
import java.util.Optional;

/**
 * The decoder.
 *
 * @param kvHeads 1 where {@code latent} is: all heads read the same latent vector
 * @param headDim of a query
 * @param intermediateSize width of the dense feed-forward layers
 * @param windows for each layer, how many of the latest tokens a token attends to, itself among
 *     them; {@code contextTokens} where it attends to all
 * @param contextTokens the longest sequence, prompt and answer together
 * @param attentionBiases of the attention's linear layers
 * @param tiedEmbeddings whether the head is the embedding's matrix
 * @param latent in place of grouped-query attention
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
    Optional<MoeConfig> moe,
    Optional<LatentAttention> latent) {
  public TextConfig {
    windows = List.copyOf(windows);
  }

  /** The experts of a layer; empty where it is dense. */
  public Optional<MoeConfig> experts(int layer) {
    return moe.filter(config -> layer >= config.firstLayer());
  }
}
