package io.epidote.engine.checkpoint;

import java.util.List;

/**
 * The vision tower (a transformer behind a patch embedding or a convolutional stem) and its
 * connector to the decoder.
 *
 * @param layers that are run: LLaVA leaves the last ones out
 * @param imageSize edge of a tile, pixels
 * @param patchSize edge of a patch, pixels; what is left of a tile behind the last one is not seen
 * @param convStem the convolutions that take the patch embedding's place; empty for a patch
 *     embedding
 * @param convStemActivation after every convolution but the last
 * @param postNorm whether a norm follows the last layer
 */
public record VisionConfig(
    VisionTower tower,
    int hiddenSize,
    int layers,
    int heads,
    int intermediateSize,
    int imageSize,
    int patchSize,
    float layerNormEps,
    Activation activation,
    List<ConvLayer> convStem,
    Activation convStemActivation,
    boolean postNorm,
    Connector connector) {
  public VisionConfig {
    convStem = List.copyOf(convStem);
  }

  /** Patches along one edge of a tile. */
  public int grid() {
    return imageSize / patchSize;
  }

  /** Positions that the tower's layers see of one tile: its patches and perhaps a class token. */
  public int positions() {
    return grid() * grid() + (tower == VisionTower.CLIP ? 1 : 0);
  }

  /** Media tokens that one tile becomes. */
  public int mediaTokens() {
    return switch (connector) {
      case Connector.PixelShuffle(int scale) -> positions() / (scale * scale);
      case Connector.Mlp mlp -> positions() - (mlp.dropsFirst() ? 1 : 0);
    };
  }
}
