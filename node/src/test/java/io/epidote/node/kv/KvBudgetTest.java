package io.epidote.node.kv;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.sampling.Penalties;
import io.epidote.engine.sampling.SamplingOptions;
import io.epidote.node.kv.KvBudget.Claim;
import io.epidote.node.kv.KvBudget.Need;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.Set;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;

final class KvBudgetTest {
  @Provide
  Arbitrary<List<Need>> needs() {
    return Combinators.combine(
            Arbitraries.integers().between(0, 40), Arbitraries.integers().between(0, 40))
        .as(Need::new)
        .list()
        .ofMaxSize(12);
  }

  /** All grow by a block at a time and end when they have grown as foretold. */
  private static long simulated(List<Need> needs) {
    long peak = 0;
    for (int time = 0; time <= 40; time++) {
      long held = 0;
      for (Need need : needs) {
        if (time <= need.left()) {
          held += need.held() + time;
        }
      }
      peak = Math.max(peak, held);
    }
    return peak;
  }

  @Property
  void thePeakIsThatOfTheSequencesGrowing(@ForAll("needs") List<Need> needs) {
    assertThat(KvBudget.peak(needs)).isEqualTo(simulated(needs));
  }

  @Property
  void thePeakDoesNotDependOnTheOrderAndGrowsWithEveryone(
      @ForAll("needs") List<Need> needs, @ForAll long seed) {
    List<Need> shuffled = new ArrayList<>(needs);
    Collections.shuffle(shuffled, new Random(seed));
    assertThat(KvBudget.peak(shuffled)).isEqualTo(KvBudget.peak(needs));
    if (!needs.isEmpty()) {
      assertThat(KvBudget.peak(needs.subList(1, needs.size())))
          .isLessThanOrEqualTo(KvBudget.peak(needs));
    }
  }

  private static SamplingOptions options(int maxTokens, boolean ignoreEos) {
    return new SamplingOptions(maxTokens, 0, 1, 0, 0, ignoreEos, -1);
  }

  private static KvBudget budget(int pool, int swap, int... learned) {
    AnswerLengths lengths = new AnswerLengths();
    for (int tokens : learned) {
      for (int i = 0; i < 20; i++) {
        lengths.ended(tokens);
      }
    }
    return new KvBudget(pool, swap, lengths);
  }

  @Example
  void withoutSwapSpaceTheLongestAnswersMustFit() {
    // 2 blocks of prompt and 4 of answer each.
    KvBudget budget = budget(12, 0, 16);
    Claim first = budget.claim(32, options(64, false));
    Claim second = budget.claim(32, options(64, false));
    Claim third = budget.claim(32, options(64, false));
    assertThat(first.tryEnter()).isTrue();
    assertThat(second.tryEnter()).isTrue();
    assertThat(third.tryEnter()).isFalse();
    first.leave();
    first.leave();
    assertThat(third.tryEnter()).isTrue();
  }

  @Example
  void withSwapSpaceThoseWhoWillProbablyFitAreLetIn() {
    KvBudget budget = budget(12, 24, 16);
    List<Claim> claims = new ArrayList<>();
    for (int i = 0; i < 5; i++) {
      claims.add(budget.claim(32, options(64, false)));
    }
    // 2 blocks held and 1 foretold each: 4 fit into 12.
    assertThat(claims).map(Claim::tryEnter).containsExactly(true, true, true, true, false);
    // Whoever ignores the end gets all its tokens.
    claims.forEach(Claim::leave);
    List<Claim> long_ = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      long_.add(budget.claim(32, options(64, true)));
    }
    assertThat(long_).map(Claim::tryEnter).containsExactly(true, true, false);
  }

  @Example
  void whoMayNotEndYetGetsItsShortestLengthAtLeast() {
    KvBudget budget = budget(12, 24, 16);
    SamplingOptions longer =
        new SamplingOptions(64, 0, 1, 0, 0, false, -1, Penalties.NONE, 60, Set.of());
    Claim claim = budget.claim(32, longer);
    assertThat(claim.expectedTokens()).isEqualTo(60);
    claim.generated(10);
    assertThat(claim.expectedTokens()).isEqualTo(50);
    claim.generated(60);
    assertThat(claim.expectedTokens()).isBetween(1, 4);
    // As far as it may go, if that is less.
    SamplingOptions cut =
        new SamplingOptions(20, 0, 1, 0, 0, false, -1, Penalties.NONE, 60, Set.of());
    assertThat(budget.claim(32, cut).expectedTokens()).isEqualTo(20);
  }

  @Example
  void whatIsPromisedNeverExceedsPoolAndSwapSpace() {
    KvBudget budget = budget(100, 8, 1);
    List<Claim> claims = new ArrayList<>();
    for (int i = 0; i < 20; i++) {
      claims.add(budget.claim(16, options(80, false)));
    }
    // 6 blocks each at most, 108 together.
    assertThat(claims.stream().filter(Claim::tryEnter)).hasSize(18);
  }

  @Example
  void nobodyIsLetInWhileOneIsPreempted() {
    KvBudget budget = budget(12, 24, 16);
    Claim first = budget.claim(32, options(64, false));
    Claim second = budget.claim(32, options(64, false));
    Claim third = budget.claim(32, options(64, false));
    first.tryEnter();
    second.tryEnter();
    // Longer than all before: both may now get 3 more blocks to their 4.
    first.generated(17);
    second.generated(17);
    second.preempt();
    assertThat(second.mayResume()).isFalse();
    assertThat(third.tryEnter()).isFalse();
    first.generated(60);
    assertThat(second.mayResume()).isTrue();
    second.resume();
    assertThat(third.tryEnter()).isFalse();
    first.leave();
    assertThat(third.tryEnter()).isTrue();
  }
}
