package io.epidote.router.auto;

import java.util.Arrays;
import java.util.Locale;

/**
 * Hashed features of a text: which words and which pairs of neighbouring words it has. Training and
 * serving must agree on every detail of it, so that it is here only once.
 */
public final class TextFeatures {
  /** Characters that are looked at: what a form is asked for in stands in no long text's middle. */
  private static final int LONGEST = 4096;

  private TextFeatures() {}

  /**
   * The buckets that a text falls into.
   *
   * @param text any text; case and punctuation do not count
   * @param buckets how many there are, a power of two
   * @return distinct bucket numbers, ascending; empty for a text without words
   */
  public static int[] of(String text, int buckets) {
    if (buckets < 2 || Integer.bitCount(buckets) != 1) {
      throw new IllegalArgumentException("expected a power of two above 1, got " + buckets);
    }
    String head = text.substring(0, Math.min(text.length(), LONGEST)).toLowerCase(Locale.ROOT);
    int[] found = new int[head.length() + 2]; // at most a word per two characters, and its pair
    int size = 0;
    long previous = 0;
    int at = 0;
    while (at < head.length()) {
      if (!Character.isLetterOrDigit(head.charAt(at))) {
        at++;
        continue;
      }
      long word = 0xcbf29ce484222325L; // FNV-1a
      while (at < head.length() && Character.isLetterOrDigit(head.charAt(at))) {
        word = (word ^ head.charAt(at++)) * 0x100000001b3L;
      }
      found[size++] = bucket(word, buckets);
      if (previous != 0) {
        found[size++] = bucket(previous * 31 + word, buckets);
      }
      previous = word;
    }
    return Arrays.stream(found, 0, size).sorted().distinct().toArray();
  }

  private static int bucket(long hash, int buckets) {
    long mixed = (hash ^ (hash >>> 33)) * 0xff51afd7ed558ccdL; // the upper bits reach the lower
    return (int) ((mixed ^ (mixed >>> 33)) & (buckets - 1));
  }
}
