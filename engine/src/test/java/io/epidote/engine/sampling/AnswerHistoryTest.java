package io.epidote.engine.sampling;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.model.Logits;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.EdgeCasesMode;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.Tuple;

/** Penalties, shortest lengths and rules for tokens, against what they are by definition. */
class AnswerHistoryTest {
  private static final int VOCABULARY = 23;
  private static final Set<Integer> EOS = Set.of(2, 5);

  /** One for all rows: nothing of an earlier one may be left. */
  private static final BatchSampler SAMPLER = new BatchSampler(1);

  private record Sequence(SamplingOptions options, int[] prompt, int[] answer) {
    Optional<AnswerHistory> history(int from) {
      Optional<AnswerHistory> history = AnswerHistory.of(rest(from), EOS, prompt, first(from));
      for (int i = from; i < answer.length && history.isPresent(); i++) {
        history.get().sampled(answer[i]);
      }
      return history;
    }

    /** Of what is left when so many tokens are there. */
    private SamplingOptions rest(int sent) {
      return new SamplingOptions(
          options.maxTokens() - sent,
          options.temperature(),
          options.topP(),
          options.topK(),
          options.seed(),
          options.ignoreEos(),
          options.logprobs(),
          options.penalties(),
          Math.max(0, options.minTokens() - sent),
          options.stopTokens(),
          options.minP(),
          options.rules());
    }

    private int[] first(int count) {
      return Arrays.copyOf(answer, count);
    }

    /** The definition: each token looked for everywhere, anew. */
    float[] changed(float[] logits) {
      Penalties penalties = options.penalties();
      TokenRules rules = options.rules();
      float[] changed = logits.clone();
      for (int id = 0; id < changed.length; id++) {
        int count = count(answer, id);
        if (!rules.allowed().isEmpty() && !rules.allowed().contains(id)) {
          changed[id] = Float.NEGATIVE_INFINITY;
        }
        changed[id] += rules.bias().getOrDefault(id, 0f);
        if (count + count(prompt, id) > 0 && penalties.repetition() != 1) {
          changed[id] =
              changed[id] > 0
                  ? changed[id] / penalties.repetition()
                  : changed[id] * penalties.repetition();
        }
        changed[id] -= penalties.frequency() * count;
        changed[id] -= count > 0 ? penalties.presence() : 0;
        boolean ends = ends(id) && (rules.allowed().isEmpty() || !allEnd(rules.allowed()));
        if (ends && answer.length < options.minTokens()) {
          changed[id] = Float.NEGATIVE_INFINITY;
        }
      }
      return changed;
    }

    private boolean ends(int id) {
      return EOS.contains(id) || options.stopTokens().contains(id);
    }

    private boolean allEnd(Set<Integer> ids) {
      return ids.stream().allMatch(this::ends);
    }

    private static int count(int[] tokens, int id) {
      int count = 0;
      for (int token : tokens) {
        count += token == id ? 1 : 0;
      }
      return count;
    }
  }

  @Provide
  Arbitrary<Sequence> sequences() {
    Arbitrary<int[]> tokens =
        Arbitraries.integers().between(0, VOCABULARY - 1).array(int[].class).ofMaxSize(30);
    Arbitrary<Penalties> penalties =
        Combinators.combine(
                Arbitraries.of(0f, 0f, 0.3f, 2f, -2f, -0.1f),
                Arbitraries.of(0f, 0f, 0.7f, 2f, -2f),
                Arbitraries.of(1f, 1f, 1.3f, 0.5f, 3f))
            .as(Penalties::new);
    Arbitrary<SamplingOptions> options =
        Combinators.combine(
                Arbitraries.of(0f, 0f, 0.7f, 1.5f),
                Arbitraries.of(1f, 0.9f, 0.3f),
                Arbitraries.of(0, 0, 1, 6),
                Arbitraries.of(-1, -1, 0, 5),
                penalties,
                Arbitraries.of(0, 0, 3, 31),
                Arbitraries.of(Set.<Integer>of(), Set.of(1, 7, VOCABULARY, Integer.MAX_VALUE)),
                rules())
            .as((temperature, topP, topK, logprobs, penalty, minTokens, stops, rules) ->
                new SamplingOptions(
                    100,
                    temperature,
                    topP,
                    topK,
                    7,
                    false,
                    logprobs,
                    penalty,
                    minTokens,
                    stops,
                    0,
                    rules));
    return Combinators.combine(options, tokens, tokens).as(Sequence::new);
  }

  private static Arbitrary<TokenRules> rules() {
    Arbitrary<Integer> ids = Arbitraries.integers().between(0, VOCABULARY - 1);
    return Arbitraries.frequencyOf(
        Tuple.of(2, Arbitraries.just(TokenRules.NONE)),
        Tuple.of(1, Arbitraries.just(new TokenRules(Map.of(), EOS))),
        Tuple.of(
            3,
            Combinators.combine(
                    Arbitraries.maps(ids, Arbitraries.of(-100f, -1.5f, 0f, 2f, 100f)).ofMaxSize(5),
                    ids.set().ofMaxSize(5))
                .as(TokenRules::new)));
  }

  @Provide
  Arbitrary<float[]> rows() {
    return Arbitraries.of(
            Arbitraries.floats().between(-9, 9), Arbitraries.of(0f, 1.5f, -2f, 3f, 3f))
        .flatMap(values -> values.array(float[].class).ofSize(VOCABULARY))
        .map(AnswerHistoryTest::withoutNegativeZero);
  }

  private static float[] withoutNegativeZero(float[] logits) {
    for (int i = 0; i < logits.length; i++) {
      logits[i] += 0f;
    }
    return logits;
  }

  private static SampledToken sample(
      float[] logits, SamplingOptions options, int position, Optional<AnswerHistory> history) {
    return SAMPLER
        .sample(
            new Logits(FloatBuffer.wrap(logits), 1, logits.length),
            List.of(new BatchSampler.Row(options, position, history)))
        .getFirst();
  }

  @Property(tries = 2000, edgeCases = EdgeCasesMode.NONE)
  void tokensAreThoseOfTheDefinition(
      @ForAll("sequences") Sequence sequence, @ForAll("rows") float[] logits) {
    SamplingOptions options = sequence.options();
    SortingSampler changed = new SortingSampler(withoutNegativeZero(sequence.changed(logits)));
    SortingSampler raw = new SortingSampler(logits);
    for (int position = 0; position < 3; position++) {
      SampledToken sampled = sample(logits, options, position, sequence.history(0));
      assertThat(sampled.tokenId()).isEqualTo(changed.sample(options, position).tokenId());
      // Log-probabilities are the model's own.
      SampledToken own = raw.sample(options, position);
      assertThat(sampled.candidates()).isEqualTo(own.candidates());
      if (options.logprobs() >= 0) {
        double sum = 0;
        for (float logit : logits) {
          sum += Math.exp(logit);
        }
        assertThat(sampled.logprob())
            .isCloseTo((float) (logits[sampled.tokenId()] - Math.log(sum)), within(1e-4f));
      }
    }
  }

  @Property(tries = 1000, edgeCases = EdgeCasesMode.NONE)
  void anAnswerGoesOnElsewhereAsIfItHadStayed(
      @ForAll("sequences") Sequence sequence, @ForAll("rows") float[] logits) {
    FloatBuffer expected = apply(sequence.history(0), logits);
    for (int sent = 0; sent <= sequence.answer().length; sent++) {
      assertThat(apply(sequence.history(sent), logits)).isEqualTo(expected);
    }
    // Neither does the order matter, nor how often the prompt has a token.
    List<Integer> shuffled = new ArrayList<>();
    for (int token : sequence.prompt()) {
      shuffled.addAll(List.of(token, token));
    }
    Collections.shuffle(shuffled, new Random(1));
    Sequence other =
        new Sequence(
            sequence.options(),
            shuffled.stream().mapToInt(Integer::intValue).toArray(),
            sequence.answer());
    assertThat(apply(other.history(0), logits)).isEqualTo(expected);
  }

  private static FloatBuffer apply(Optional<AnswerHistory> history, float[] logits) {
    FloatBuffer row = FloatBuffer.wrap(logits.clone());
    history.ifPresent(changes -> changes.apply(row));
    return row;
  }

  @Example
  void whatAsksForNothingHasNoHistory() {
    SamplingOptions plain = new SamplingOptions(10, 1, 1, 0, 7, false, -1);
    assertThat(AnswerHistory.of(plain, EOS, new int[] {1}, new int[] {1})).isEmpty();
  }

  @Example
  void tokensThatTheModelDoesNotHaveAreLeftOut() {
    TokenRules rules = new TokenRules(Map.of(VOCABULARY, 9f, 4, 1f), Set.of(4, 6, VOCABULARY));
    SamplingOptions options =
        new SamplingOptions(10, 0, 1, 0, 7, false, -1, Penalties.NONE, 0, Set.of(), 0, rules);
    float[] logits = new float[VOCABULARY];
    logits[6] = 0.5f;
    logits[7] = 9;
    Optional<AnswerHistory> history = AnswerHistory.of(options, EOS, new int[0], new int[0]);
    assertThat(sample(logits, options, 0, history).tokenId()).isEqualTo(4);
  }

  @Example
  void anAnswerThatIsLongEnoughIsSampledFromTheModelsOwnLogits() {
    SamplingOptions options =
        new SamplingOptions(10, 0, 1, 0, 7, true, -1, Penalties.NONE, 2, Set.of());
    AnswerHistory history = AnswerHistory.of(options, EOS, new int[0], new int[0]).orElseThrow();
    float[] logits = new float[VOCABULARY];
    logits[2] = 9;
    logits[4] = 8;
    for (int expected : new int[] {4, 4, 2}) {
      int token = sample(logits, options, 0, Optional.of(history)).tokenId();
      assertThat(token).isEqualTo(expected);
      history.sampled(token);
    }
    assertThat(new BatchSampler.Row(options, 0, Optional.of(history)).history()).isEmpty();
  }

  @Example
  void theLargestPenaltiesLeaveSomethingToChooseFrom() {
    float[] logits = {5, 4, -3, -2, 1};
    for (float repetition : new float[] {Float.MIN_VALUE, 1e-38f, 1e38f, Float.MAX_VALUE}) {
      for (float temperature : new float[] {0, 1, 0.01f}) {
        SamplingOptions options =
            new SamplingOptions(
                10, temperature, 1, 0, 7, false, -1, new Penalties(2, 2, repetition), 0, Set.of());
        Optional<AnswerHistory> history =
            AnswerHistory.of(options, EOS, new int[] {1, 2}, new int[] {2});
        int chosen = sample(logits, options, 3, history).tokenId();
        if (repetition < 1) {
          // The one that the prompt has is as large as a logit can be.
          assertThat(chosen).isEqualTo(1);
        } else {
          assertThat(chosen).isIn(0, 1, 3, 4);
        }
      }
    }
  }

  @Example
  void longHistoriesOfManyTokensAreCountedWhole() {
    SamplingOptions options =
        new SamplingOptions(10_000, 0, 1, 0, 7, false, -1, new Penalties(0.01f, 0, 1), 0, Set.of());
    int vocabulary = 3000;
    AnswerHistory history = AnswerHistory.of(options, EOS, new int[0], new int[0]).orElseThrow();
    for (int i = 0; i < 3 * vocabulary; i++) {
      history.sampled(i % vocabulary == 17 ? 18 : i % vocabulary);
    }
    FloatBuffer row = FloatBuffer.allocate(vocabulary);
    history.apply(row);
    for (int id = 0; id < vocabulary; id++) {
      int count = id == 17 ? 0 : id == 18 ? 6 : 3;
      assertThat(row.get(id)).isCloseTo(-0.01f * count, within(1e-6f));
    }
  }
}
