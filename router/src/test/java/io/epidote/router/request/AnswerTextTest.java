package io.epidote.router.request;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

class AnswerTextTest {
  /** Tokens are pieces of text here: token i is the i-th piece. */
  private static String shown(List<String> pieces, List<String> stops) {
    AnswerText text = over(pieces, stops);
    StringBuilder shown = new StringBuilder();
    for (int i = 0; i < pieces.size(); i++) {
      shown.append(text.append(i));
    }
    return shown.append(text.flush()).toString();
  }

  private static AnswerText over(List<String> pieces, List<String> stops) {
    return over(pieces, stops, 0);
  }

  private static AnswerText over(List<String> pieces, List<String> stops, int minTokens) {
    return new AnswerText(
        new ServedModel.TokenText() {
          @Override
          public String append(int tokenId) {
            return pieces.get(tokenId);
          }

          @Override
          public String flush() {
            return "";
          }
        },
        stops,
        minTokens);
  }

  @Test
  void cutsBeforeAStopStringThatSpansTokens() {
    assertThat(shown(List.of("a red ", "cir", "cle and", " more"), List.of("circle")))
        .isEqualTo("a red ");
  }

  @Test
  void holdsBackOnlyWhatCouldStillMatch() {
    AnswerText text = over(List.of("one tw", "enty"), List.of("two"));
    assertThat(text.append(0)).isEqualTo("one ");
    assertThat(text.append(1)).isEqualTo("twenty");
    assertThat(text.stopped()).isFalse();
  }

  @Test
  void flushGivesBackAMatchThatNeverCompleted() {
    assertThat(shown(List.of("three tw"), List.of("two"))).isEqualTo("three tw");
  }

  @Test
  void theStopStringThatIsCompleteFirstWins() {
    assertThat(shown(List.of("abcd"), List.of("abcd", "bc"))).isEqualTo("a");
    assertThat(shown(List.of("xabc"), List.of("bc", "abc"))).isEqualTo("x");
  }

  @Test
  void nothingIsShownAfterTheStop() {
    AnswerText text = over(List.of("stop", "late"), List.of("stop"));
    assertThat(text.append(0)).isEmpty();
    assertThat(text.stopped()).isTrue();
    assertThat(text.append(1)).isEmpty();
    assertThat(text.flush()).isEmpty();
  }

  @Test
  void aStopStringThatIsCompleteTooEarlyIsText() {
    AnswerText text = over(List.of("stop", " st", "op st", "op", "late"), List.of("stop"), 3);
    assertThat(text.append(0)).isEqualTo("stop");
    assertThat(text.append(1)).isEqualTo(" ");
    assertThat(text.append(2)).isEqualTo("stop ");
    assertThat(text.stopped()).isFalse();
    // It began too early, and is complete when it may be.
    assertThat(text.append(3)).isEmpty();
    assertThat(text.stopped()).isTrue();
    assertThat(text.flush()).isEmpty();
  }

  @Property(tries = 2000)
  void howTheTextIsSplitMakesNoDifference(
      @ForAll("texts") String text,
      @ForAll("stopLists") List<String> stops,
      @ForAll @Size(max = 12) List<@IntRange(min = 0, max = 40) Integer> cuts) {
    String whole = shown(List.of(text), stops);
    assertThat(shown(split(text, cuts), stops)).isEqualTo(whole);
    assertThat(shown(text.chars().mapToObj(Character::toString).toList(), stops)).isEqualTo(whole);
    assertThat(text).startsWith(whole);
    // The earliest end of any stop string decides: what is shown never contains one.
    assertThat(stops.stream().noneMatch(whole::contains)).isTrue();
    if (stops.stream().noneMatch(text::contains)) {
      assertThat(whole).isEqualTo(text);
    }
  }

  @Provide
  Arbitrary<String> texts() {
    return Arbitraries.strings().withChars("ab ").ofMaxLength(40);
  }

  @Provide
  Arbitrary<List<String>> stopLists() {
    return Arbitraries.strings().withChars("ab ").ofMinLength(1).ofMaxLength(5).list().ofMaxSize(4);
  }

  private static List<String> split(String text, List<Integer> cuts) {
    List<Integer> at =
        Stream.concat(cuts.stream(), Stream.of(0, text.length()))
            .map(cut -> Math.min(cut, text.length()))
            .distinct()
            .sorted()
            .toList();
    List<String> pieces = new ArrayList<>();
    for (int i = 1; i < at.size(); i++) {
      pieces.add(text.substring(at.get(i - 1), at.get(i)));
    }
    return pieces;
  }
}
