package io.epidote.engine.sampling;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Chooses a token from a row of logits. Stateless between tokens: the draw at a position depends on
 * the seed and the position alone, so that any node can continue a seeded stream exactly. Used by
 * one thread.
 */
public final class Sampler {
  private final RankedLogits row = new RankedLogits();

  /** A row as an answer's history has changed it; direct like the model's, and used again. */
  private FloatBuffer changed = FloatBuffer.allocate(0);

  /**
   * The largest logit, the one of the lowest id among equals, or a draw.
   *
   * @param logits {@code [vocabulary]}, in the machine's byte order; not changed
   * @param position of the token to choose, in its sequence
   */
  public SampledToken sample(FloatBuffer logits, SamplingOptions options, int position) {
    int best = largest(logits);
    if (options.isGreedy() && options.logprobs() < 0) {
      return new SampledToken(best, Float.NaN, List.of());
    }
    float max = logits.get(logits.position() + best);
    row.load(logits, max);
    int chosen = options.isGreedy() ? best : draw(options, position);
    return told(chosen, options, max);
  }

  /**
   * The same from logits that the answer's history changes. Log-probabilities are told of the
   * model's own.
   */
  public SampledToken sample(
      FloatBuffer logits, SamplingOptions options, int position, AnswerHistory history) {
    FloatBuffer from = changed(logits, history);
    int chosen = largest(from);
    if (!options.isGreedy()) {
      row.load(from, from.get(chosen));
      chosen = draw(options, position);
    }
    float max = Float.NaN;
    if (options.logprobs() >= 0) {
      max = logits.get(logits.position() + largest(logits));
      row.load(logits, max);
    }
    return told(chosen, options, max);
  }

  private FloatBuffer changed(FloatBuffer logits, AnswerHistory history) {
    int size = logits.remaining();
    if (changed.capacity() < size) {
      changed =
          ByteBuffer.allocateDirect(size * Float.BYTES)
              .order(ByteOrder.nativeOrder())
              .asFloatBuffer();
    }
    changed.limit(size);
    changed.put(0, logits, logits.position(), size);
    history.apply(changed);
    return changed;
  }

  private static int largest(FloatBuffer logits) {
    if (logits.order() != ByteOrder.nativeOrder()) {
      throw new IllegalArgumentException("logits are in " + logits.order() + " order");
    }
    return LargestLogit.in(MemorySegment.ofBuffer(logits), logits.remaining());
  }

  /** With log-probabilities by the logits that were loaded last, if they are asked for. */
  private SampledToken told(int chosen, SamplingOptions options, float max) {
    if (options.logprobs() < 0) {
      return new SampledToken(chosen, Float.NaN, List.of());
    }
    double logSum = max + Math.log(row.weigh(1, 0));
    List<SampledToken.Candidate> candidates = new ArrayList<>();
    int listed = row.rankFirst(options.logprobs());
    for (int rank = 0; rank < listed; rank++) {
      candidates.add(candidate(row.id(rank), logSum));
    }
    return new SampledToken(chosen, candidate(chosen, logSum).logprob(), candidates);
  }

  private SampledToken.Candidate candidate(int id, double logSum) {
    return new SampledToken.Candidate(id, (float) (row.logit(id) - logSum));
  }

  private int draw(SamplingOptions options, int position) {
    double uniform = uniform(options.seed(), position);
    boolean all = options.topK() <= 0 || options.topK() >= row.size();
    if (all && options.topP() >= 1f) {
      return drawFromAll(uniform * row.weigh(options.temperature(), options.minP()));
    }
    int kept;
    if (all) {
      kept = row.rankMass(options.topP() * row.weigh(options.temperature(), options.minP()));
    } else {
      kept = row.rankFirst(options.topK());
      double mass = options.topP() * row.weighFirst(kept, options.temperature(), options.minP());
      // The token that crosses the mass is kept: a nucleus is never empty.
      kept = options.topP() < 1f ? row.reach(kept, mass) : kept;
    }
    return drawFromFirst(kept, uniform);
  }

  private int drawFromFirst(int kept, double uniform) {
    double total = 0;
    for (int rank = 0; rank < kept; rank++) {
      total += row.weight(row.id(rank));
    }
    double target = uniform * total;
    int last = 0;
    for (int rank = 0; rank < kept; rank++) {
      double weight = row.weight(row.id(rank));
      target -= weight;
      if (target < 0) {
        return row.id(rank);
      }
      last = weight > 0 ? rank : last;
    }
    // Rounding may take a draw past the last token that can be.
    return row.id(last);
  }

  private int drawFromAll(double target) {
    double left = target;
    int last = 0;
    for (int id = 0; id < row.size(); id++) {
      double weight = row.weight(id);
      left -= weight;
      if (left < 0) {
        return id;
      }
      last = weight > 0 ? id : last;
    }
    return last;
  }

  private static double uniform(long seed, int position) {
    return new SplittableRandom(seed + 0x9E3779B97F4A7C15L * (position + 1L)).split().nextDouble();
  }
}
