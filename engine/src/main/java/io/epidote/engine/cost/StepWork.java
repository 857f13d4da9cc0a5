package io.epidote.engine.cost;

import io.epidote.engine.model.SequenceChunk;
import java.util.List;

/** What one step of a stage does, in the units of the stage's cost terms. */
public sealed interface StepWork {
  /** The stage whose terms these are. */
  CostStage stage();

  /** One number for each of the stage's terms, in their order; the first is the step itself: 1. */
  double[] units();

  /** A batch of tiles. */
  record Encode(double tiles) implements StepWork {
    @Override
    public CostStage stage() {
      return CostStage.ENCODE;
    }

    @Override
    public double[] units() {
      return new double[] {1, tiles};
    }
  }

  /**
   * Chunks of prompts.
   *
   * @param tokens that are computed
   * @param pairs of a token and one that it attends to: of a prompt of n tokens half of n squared,
   *     of a chunk of n tokens behind p others n (p + n / 2)
   * @param cached tokens before the chunks, whose keys and values are read
   * @param experts that the step reads, of all layers together; 0 where layers are dense
   */
  record Prefill(double tokens, double pairs, double cached, double experts) implements StepWork {
    /** Of chunks, with no experts. */
    public static Prefill of(List<SequenceChunk> chunks) {
      double tokens = 0;
      double pairs = 0;
      double cached = 0;
      for (SequenceChunk chunk : chunks) {
        double count = chunk.tokenIds().length;
        tokens += count;
        pairs += count * (chunk.pastTokens() + count / 2);
        cached += chunk.pastTokens();
      }
      return new Prefill(tokens, pairs, cached, 0);
    }

    /** The same with experts. */
    public Prefill withExperts(double distinct) {
      return new Prefill(tokens, pairs, cached, distinct);
    }

    @Override
    public CostStage stage() {
      return CostStage.PREFILL;
    }

    @Override
    public double[] units() {
      return new double[] {1, tokens, pairs, cached, experts};
    }
  }

  /**
   * The next tokens of answers.
   *
   * @param answers that get a token
   * @param kvTokens whose keys and values are read, of all answers together
   * @param experts as of {@link Prefill}
   */
  record Decode(double answers, double kvTokens, double experts) implements StepWork {
    /** Of chunks of one token each, with no experts. */
    public static Decode of(List<SequenceChunk> chunks) {
      return new Decode(
          chunks.size(), chunks.stream().mapToDouble(chunk -> chunk.pastTokens() + 1).sum(), 0);
    }

    /** The same with experts. */
    public Decode withExperts(double distinct) {
      return new Decode(answers, kvTokens, distinct);
    }

    @Override
    public CostStage stage() {
      return CostStage.DECODE;
    }

    @Override
    public double[] units() {
      return new double[] {1, answers, kvTokens, experts};
    }
  }

  /**
   * Experts of one layer that so many tokens are expected to read between them, when gates spread
   * tokens evenly.
   */
  static double distinctExperts(int experts, int perToken, double tokens) {
    return experts * (1 - Math.pow(1 - (double) perToken / experts, tokens));
  }
}
