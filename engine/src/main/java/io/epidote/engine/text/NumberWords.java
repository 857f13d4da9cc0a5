package io.epidote.engine.text;

import java.util.List;

/** English words for numbers, in the spelling of Python's num2words. */
final class NumberWords {
  private static final List<String> SMALL =
      List.of(
          "zero",
          "one",
          "two",
          "three",
          "four",
          "five",
          "six",
          "seven",
          "eight",
          "nine",
          "ten",
          "eleven",
          "twelve",
          "thirteen",
          "fourteen",
          "fifteen",
          "sixteen",
          "seventeen",
          "eighteen",
          "nineteen");
  private static final List<String> TENS =
      List.of("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety");

  private NumberWords() {}

  /**
   * @param number 0 to 999
   */
  static String of(int number) {
    if (number >= 100) {
      String hundreds = SMALL.get(number / 100) + " hundred";
      return number % 100 == 0 ? hundreds : hundreds + " and " + of(number % 100);
    }
    if (number < SMALL.size()) {
      return SMALL.get(number);
    }
    String tens = TENS.get(number / 10);
    return number % 10 == 0 ? tens : tens + "-" + SMALL.get(number % 10);
  }
}
