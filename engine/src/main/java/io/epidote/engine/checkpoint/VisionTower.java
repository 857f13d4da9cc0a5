package io.epidote.engine.checkpoint;

/** The form of the vision transformer, which is pre-norm with biased linear layers in any. */
public enum VisionTower {
  /** Patches alone, their convolution with a bias. */
  SIGLIP,
  /** A class token before the patches, their convolution without a bias, a norm before layer 0. */
  CLIP
}
