package io.epidote.cli;

import io.epidote.engine.cost.CostStage;
import io.epidote.engine.model.DecoderShape;
import java.util.ArrayList;
import java.util.List;

/**
 * A step to measure: sequences that are alike, or tiles.
 *
 * @param sequences or tiles
 * @param tokens that each sequence computes; 1 for decode
 * @param past tokens of each before them
 */
record StepShape(CostStage stage, Use use, int sequences, int tokens, int past) {
  /** What a measurement is for. */
  enum Use {
    /** The cost is fitted to it. */
    FITTED,
    /** The cost is judged by it: another shape, between those that it was fitted to. */
    HELD_OUT,
    /** Likewise, beyond them. */
    EXTRAPOLATED
  }

  private static final int[] BATCHES = {1, 2, 4, 8, 16, 32};
  private static final int[] CONTEXTS = {32, 256, 768};

  /** KV blocks that the shape needs. */
  int blocks() {
    return stage == CostStage.ENCODE ? 0 : sequences * DecoderShape.blocksFor(past + tokens);
  }

  /**
   * Shapes of every stage that fit a model.
   *
   * @param contextTokens the longest sequence
   * @param maxBlocks KV blocks of a step
   * @param maxTiles of a batch; 0 without an encoder
   */
  static List<StepShape> all(int contextTokens, int maxBlocks, int maxTiles) {
    List<StepShape> shapes = new ArrayList<>();
    for (int tiles : new int[] {1, 2, 4, 8}) {
      shapes.add(new StepShape(CostStage.ENCODE, Use.FITTED, tiles, 0, 0));
    }
    for (int tiles : new int[] {3, 6}) {
      shapes.add(new StepShape(CostStage.ENCODE, Use.HELD_OUT, tiles, 0, 0));
    }
    shapes.add(new StepShape(CostStage.ENCODE, Use.EXTRAPOLATED, 16, 0, 0));
    for (int past : CONTEXTS) {
      for (int tokens : new int[] {16, 64, 256}) {
        shapes.add(new StepShape(CostStage.PREFILL, Use.FITTED, 1, tokens, past));
      }
      for (int batch : BATCHES) {
        shapes.add(new StepShape(CostStage.DECODE, Use.FITTED, batch, 1, past));
      }
    }
    shapes.add(new StepShape(CostStage.PREFILL, Use.FITTED, 1, 128, 0));
    shapes.add(new StepShape(CostStage.PREFILL, Use.FITTED, 1, 512, 0));
    shapes.add(new StepShape(CostStage.PREFILL, Use.FITTED, 4, 64, 0));
    for (int past : new int[] {96, 480}) {
      for (int tokens : new int[] {24, 100, 200}) {
        shapes.add(new StepShape(CostStage.PREFILL, Use.HELD_OUT, 1, tokens, past));
      }
      for (int batch : new int[] {3, 6, 12, 24}) {
        shapes.add(new StepShape(CostStage.DECODE, Use.HELD_OUT, batch, 1, past));
      }
    }
    shapes.add(new StepShape(CostStage.PREFILL, Use.HELD_OUT, 1, 320, 0));
    shapes.add(new StepShape(CostStage.PREFILL, Use.HELD_OUT, 3, 48, 96));
    shapes.add(new StepShape(CostStage.PREFILL, Use.EXTRAPOLATED, 1, 896, 0));
    shapes.add(new StepShape(CostStage.PREFILL, Use.EXTRAPOLATED, 1, 128, 1536));
    shapes.add(new StepShape(CostStage.DECODE, Use.EXTRAPOLATED, 64, 1, 256));
    shapes.add(new StepShape(CostStage.DECODE, Use.EXTRAPOLATED, 8, 1, 1536));
    shapes.removeIf(shape ->
        shape.stage() == CostStage.ENCODE
            ? shape.sequences() > maxTiles
            : shape.past() + shape.tokens() > contextTokens || shape.blocks() > maxBlocks);
    return shapes;
  }
}
