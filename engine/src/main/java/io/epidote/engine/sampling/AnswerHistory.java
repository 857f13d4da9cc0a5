package io.epidote.engine.sampling;

import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * What one answer has had so far, as far as it bears on its next token: the tokens that penalties
 * count, and whether it may end yet; and the rules that hold all along. Exact wherever the answer
 * goes on, if prompt and answer are told apart. The order is vLLM's: the rules for single tokens
 * first, then the repetition penalty (Keskar et al., CTRL, section 4.1) over prompt and answer,
 * then frequency and presence over the answer (OpenAI's API reference).
 *
 * <p>Written by the engine thread between steps, read by whoever samples in one.
 */
public final class AnswerHistory {
  private final Penalties penalties;
  private final int minTokens;
  private final TokenRules rules;

  /** Tokens that may not be before the answer is long enough. */
  private final int[] ends;

  /** Where tokens stand in {@link #ids} and {@link #counts}. */
  private final Map<Integer, Integer> places = new HashMap<>();

  private int[] ids = new int[64];

  /** How often the answer has each; 0 when only the prompt has it. */
  private int[] counts = new int[64];

  private int sampled;

  private AnswerHistory(SamplingOptions options, Set<Integer> eosIds) {
    this.penalties = options.penalties();
    this.minTokens = options.minTokens();
    this.rules = options.rules();
    Set<Integer> all = new HashSet<>(eosIds);
    all.addAll(options.stopTokens());
    // An answer that may do nothing but end has to.
    boolean endsAlone = !rules.allowed().isEmpty() && all.containsAll(rules.allowed());
    this.ends = endsAlone ? new int[0] : all.stream().mapToInt(Integer::intValue).toArray();
  }

  /**
   * Of an answer that goes on; empty when its tokens are sampled from the model's own logits.
   *
   * @param options of what is left of the answer
   * @param eosIds tokens that end an answer
   * @param prompt its tokens, in any order; may be empty where {@link Penalties#countsPrompt} is
   *     false
   * @param answer its tokens so far, in any order; may be empty where {@link
   *     Penalties#countsAnswer} is false
   */
  public static Optional<AnswerHistory> of(
      SamplingOptions options, Set<Integer> eosIds, int[] prompt, int[] answer) {
    if (!options.penalties().countsAnswer()
        && options.minTokens() <= 0
        && options.rules().isEmpty()) {
      return Optional.empty();
    }
    AnswerHistory history = new AnswerHistory(options, eosIds);
    if (options.penalties().countsPrompt()) {
      for (int token : prompt) {
        history.count(token, 0);
      }
    }
    if (options.penalties().countsAnswer()) {
      for (int token : answer) {
        history.count(token, 1);
      }
    }
    return Optional.of(history);
  }

  /** The answer has another token. */
  public void sampled(int tokenId) {
    sampled++;
    if (penalties.countsAnswer()) {
      count(tokenId, 1);
    }
  }

  private void count(int tokenId, int times) {
    int next = places.size();
    int place = places.computeIfAbsent(tokenId, token -> next);
    if (place == ids.length) {
      ids = Arrays.copyOf(ids, 2 * place);
      counts = Arrays.copyOf(counts, 2 * place);
    }
    ids[place] = tokenId;
    counts[place] += times;
  }

  /** Whether the next token is sampled from other logits than the model's. */
  public boolean isActive() {
    return penalties.countsAnswer() || !rules.isEmpty() || isTooShort();
  }

  private boolean isTooShort() {
    return sampled < minTokens;
  }

  /**
   * Changes logits to those that the next token is sampled from.
   *
   * @param row {@code [vocabulary]}, from index 0
   */
  void apply(FloatBuffer row) {
    if (!rules.allowed().isEmpty()) {
      allowAlone(row);
    }
    rules
        .bias()
        .forEach((id, bias) -> {
          if (isIn(row, id)) {
            row.put(id, row.get(id) + bias);
          }
        });
    for (int place = 0; place < places.size(); place++) {
      int id = ids[place];
      row.put(id, penalties.apply(row.get(id), counts[place]));
    }
    if (isTooShort()) {
      for (int end : ends) {
        if (isIn(row, end)) {
          row.put(end, Float.NEGATIVE_INFINITY);
        }
      }
    }
  }

  private void allowAlone(FloatBuffer row) {
    int[] allowed =
        rules.allowed().stream().mapToInt(Integer::intValue).filter(id -> isIn(row, id)).toArray();
    float[] logits = new float[allowed.length];
    for (int i = 0; i < allowed.length; i++) {
      logits[i] = row.get(allowed[i]);
    }
    for (int id = 0; id < row.limit(); id++) {
      row.put(id, Float.NEGATIVE_INFINITY);
    }
    for (int i = 0; i < allowed.length; i++) {
      row.put(allowed[i], logits[i]);
    }
  }

  /** Clients may name tokens that the model does not have. */
  private static boolean isIn(FloatBuffer row, int id) {
    return id >= 0 && id < row.limit();
  }
}
