package io.epidote.node.kv;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.sampling.SamplingOptions;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * Decides which sequences share the pool. Two things must hold to let one in:
 *
 * <ul>
 *   <li><em>It will probably fit.</em> The most blocks that all running sequences will hold at any
 *       time to come, if they get as long as {@link AnswerLengths} foretells, is at most the pool.
 *   <li><em>It can be finished in any case.</em> If all get as long as they may, pool and swap
 *       space together hold them. A sequence that alone could outgrow the pool is never let in.
 * </ul>
 *
 * <p>The first is where the speed comes from, the second is why nothing gets stuck when a forecast
 * was wrong: then there is always a block to be had for the oldest sequence, free or by swapping
 * one of a younger sequence out. Without swap space the second is the stricter one, and nobody is
 * preempted. Belongs to the engine thread.
 */
public final class KvBudget {
  /** What a sequence has and may still get, in blocks. */
  record Need(int held, int left) {}

  private final int poolBlocks;
  private final int swapBlocks;
  private final AnswerLengths lengths;
  private final Set<Claim> claims = new LinkedHashSet<>();
  private long promised;
  private int preempted;

  /**
   * @param swapBlocks blocks that may be swapped out
   * @param lengths of the answers of this node
   */
  public KvBudget(int poolBlocks, int swapBlocks, AnswerLengths lengths) {
    this.poolBlocks = poolBlocks;
    this.swapBlocks = swapBlocks;
    this.lengths = requireNonNull(lengths, "lengths is null");
  }

  /**
   * A sequence that wants in.
   *
   * @param options of which the longest answer follows; with what the pool holds it must fit alone
   */
  public Claim claim(int promptTokens, SamplingOptions options) {
    return new Claim(promptTokens, options);
  }

  /**
   * The most blocks that sequences will hold together. It is reached when one of them ends, so only
   * these moments are looked at: with the sequences in order of what they still get, most first,
   * when the i-th ends the first i are there and each has grown by as much as the i-th.
   */
  static long peak(List<Need> needs) {
    List<Need> order = new ArrayList<>(needs);
    order.sort(Comparator.comparingInt(Need::left).reversed());
    long held = 0;
    long peak = 0;
    for (int i = 0; i < order.size(); i++) {
      held += order.get(i).held();
      peak = Math.max(peak, held + (i + 1L) * order.get(i).left());
    }
    return peak;
  }

  private boolean fits(Claim candidate, Set<Claim> without) {
    List<Need> needs = new ArrayList<>();
    for (Claim claim : claims) {
      if (!claim.preempted && claim != candidate && !without.contains(claim)) {
        needs.add(claim.need());
      }
    }
    if (needs.isEmpty()) {
      return true;
    }
    needs.add(candidate.need());
    return peak(needs) <= poolBlocks;
  }

  /** Whether some sequence gave up blocks and waits to come back. */
  public boolean isAnyPreempted() {
    return preempted > 0;
  }

  /** One sequence's part of the pool. */
  public final class Claim {
    private final int promptTokens;
    private final SamplingOptions options;
    private final int most;
    private int generated;
    private boolean entered;
    private boolean preempted;

    private Claim(int promptTokens, SamplingOptions options) {
      this.promptTokens = promptTokens;
      this.options = options;
      this.most = DecoderShape.blocksFor(promptTokens + options.maxTokens());
    }

    /** Lets the sequence in if it fits. While preempted ones wait to come back nobody is let in. */
    public boolean tryEnter() {
      if (KvBudget.this.preempted > 0 || !fitsWithout(Set.of())) {
        return false;
      }
      enter();
      return true;
    }

    /** Whether the sequence would fit if these were preempted; nobody is by this. */
    public boolean fitsWithout(Set<Claim> others) {
      return promised + most <= (long) poolBlocks + swapBlocks && fits(this, others);
    }

    /** Whether it has let go of its blocks and waits. */
    public boolean isPreempted() {
      return preempted;
    }

    /** Counts a sequence whose blocks are here already. */
    public void enter() {
      if (entered) {
        throw new IllegalStateException("a claim entered twice");
      }
      entered = true;
      claims.add(this);
      promised += most;
    }

    /** Tokens of the answer so far. */
    public void generated(int tokens) {
      generated = tokens;
    }

    /** The sequence has to let go of its blocks and waits. */
    public void preempt() {
      if (!preempted) {
        preempted = true;
        KvBudget.this.preempted++;
      }
    }

    /** Whether there will be room for it to go on, as far as can be foretold. */
    public boolean mayResume() {
      return fits(this, Set.of());
    }

    /** It goes on. */
    public void resume() {
      if (preempted) {
        preempted = false;
        KvBudget.this.preempted--;
      }
    }

    /** The sequence is over, or was never let in; harmless when repeated. */
    public void leave() {
      if (entered) {
        entered = false;
        resume();
        claims.remove(this);
        promised -= most;
      }
    }

    /** The answer has ended: what is learned for others. */
    public void answered() {
      if (!options.ignoreEos()) {
        lengths.ended(generated);
      }
    }

    /** Tokens that the answer will probably still get. */
    public int expectedTokens() {
      return options.ignoreEos()
          ? options.maxTokens() - generated
          : Math.max(
              lengths.left(generated, options.maxTokens()),
              Math.min(options.minTokens(), options.maxTokens()) - generated);
    }

    private Need need() {
      int left = expectedTokens();
      // Both rounded up: never less than what the tokens need.
      return new Need(
          DecoderShape.blocksFor(promptTokens + generated), DecoderShape.blocksFor(left));
    }
  }
}
