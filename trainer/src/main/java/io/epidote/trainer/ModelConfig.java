package io.epidote.trainer;

import java.util.List;

/**
 * The sizes of the model.
 *
 * @param hidden width of tower and decoder
 * @param visionLayers transformer layers of the tower
 * @param visionHeads attention heads of the tower
 * @param visionIntermediate width of the tower's MLP
 * @param stem convolutions that replace the patch embedding
 * @param textLayers decoder layers
 * @param heads query heads
 * @param kvHeads key and value heads
 * @param headDim width of a head
 * @param experts experts per layer
 * @param expertsPerToken experts that a token is routed to
 * @param expertIntermediate width of an expert
 * @param vocabulary rows of the embedding
 */
record ModelConfig(
    int hidden,
    int visionLayers,
    int visionHeads,
    int visionIntermediate,
    List<Conv> stem,
    int textLayers,
    int heads,
    int kvHeads,
    int headDim,
    int experts,
    int expertsPerToken,
    int expertIntermediate,
    int vocabulary) {
  /** Edge of a tile, pixels. */
  static final int TILE = 64;

  /** Pixels per position of the tower: the product of the stem's strides. */
  static final int PATCH = 8;

  /** Positions of the tower along an edge. */
  static final int GRID = TILE / PATCH;

  /** The pixel shuffle merges this many positions along each edge into one media token. */
  static final int SHUFFLE = 2;

  /** Media tokens of a tile. */
  static final int TILE_TOKENS = (GRID / SHUFFLE) * (GRID / SHUFFLE);

  static final float ROPE_THETA = 10000f;
  static final float RMS_EPS = 1e-5f;
  static final float LAYER_NORM_EPS = 1e-6f;
  static final float BATCH_NORM_EPS = 1e-5f;

  /** A 3x3 convolution with padding 1. */
  record Conv(int in, int out, int stride) {}

  /** The model that ships. */
  static ModelConfig scenes() {
    return coarse().finer(4);
  }

  /** What it is until its last stage of training. */
  static ModelConfig coarse() {
    return new ModelConfig(
        128,
        2,
        4,
        256,
        List.of(
            new Conv(3, 32, 2),
            new Conv(32, 32, 1),
            new Conv(32, 64, 2),
            new Conv(64, 64, 1),
            new Conv(64, 128, 2)),
        4,
        4,
        2,
        32,
        8,
        2,
        128,
        Vocabulary.SIZE);
  }

  /** The same with {@code parts} narrow experts in the place of each. */
  ModelConfig finer(int parts) {
    return new ModelConfig(
        hidden,
        visionLayers,
        visionHeads,
        visionIntermediate,
        stem,
        textLayers,
        heads,
        kvHeads,
        headDim,
        experts * parts,
        expertsPerToken * parts,
        expertIntermediate / parts,
        vocabulary);
  }

  /** The same form, small enough for a test to train a step. */
  static ModelConfig tiny() {
    return new ModelConfig(
        32,
        1,
        2,
        32,
        List.of(new Conv(3, 8, 4), new Conv(8, 32, 2)),
        2,
        4,
        2,
        8,
        4,
        2,
        16,
        Vocabulary.SIZE);
  }
}
