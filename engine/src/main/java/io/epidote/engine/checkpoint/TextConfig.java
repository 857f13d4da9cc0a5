package io.epidote.engine.checkpoint;

import java.util.Optional;

/**
 * The decoder.
 *
 * @param intermediateSize width of the dense feed-forward layers; not used where {@code moe} is
 * @param contextTokens the longest sequence, prompt and answer together
 * @param attentionBias whether the query, key and value projections have a bias
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
    double ropeTheta,
    int contextTokens,
    int vocabulary,
    boolean attentionBias,
    boolean tiedEmbeddings,
    Optional<MoeConfig> moe) {}
