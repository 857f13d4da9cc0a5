package io.epidote.engine.checkpoint;

/** What stands between the vision tower and the decoder. */
public sealed interface Connector {
  /**
   * Idefics3's: a square of {@code scaleFactor x scaleFactor} patches becomes one wider token, then
   * a linear layer without a bias.
   */
  record PixelShuffle(int scaleFactor) implements Connector {}

  /**
   * LLaVA's: two linear layers with an activation between them, position by position.
   *
   * @param bias whether the layers have biases
   * @param dropsFirst whether the tower's first position, CLIP's class token, is left out
   */
  record Mlp(Activation activation, boolean bias, boolean dropsFirst) implements Connector {}
}
