package io.epidote.engine.checkpoint;

import java.util.List;

/**
 * The vision tower: SigLIP's transformer behind a patch embedding or a convolutional stem.
 *
 * @param imageSize edge of a tile, pixels
 * @param patchSize edge of a patch, pixels
 * @param convStem the convolutions that take the patch embedding's place; empty for a patch
 *     embedding
 * @param convStemActivation after every convolution but the last
 */
public record VisionConfig(
    int hiddenSize,
    int layers,
    int heads,
    int intermediateSize,
    int imageSize,
    int patchSize,
    float layerNormEps,
    Activation activation,
    List<ConvLayer> convStem,
    Activation convStemActivation) {
  public VisionConfig {
    convStem = List.copyOf(convStem);
  }

  /** Patches along one edge of a tile. */
  public int grid() {
    return imageSize / patchSize;
  }

  /** Patches of one tile. */
  public int positions() {
    return grid() * grid();
  }

  /** Media tokens that one tile becomes behind a pixel shuffle by {@code scaleFactor}. */
  public int mediaTokens(int scaleFactor) {
    return positions() / (scaleFactor * scaleFactor);
  }
}
