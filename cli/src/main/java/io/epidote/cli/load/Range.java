package io.epidote.cli.load;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.util.SplittableRandom;

/**
 * Whole numbers from which one is drawn, all equally likely.
 *
 * @param least included
 * @param most included
 */
public record Range(int least, int most) {
  /**
   * Reads {@code 128} or {@code 64-256}.
   *
   * @throws InvalidRequest when it is neither
   */
  public static Range parse(String text) {
    String[] ends = text.strip().split("-", 2);
    try {
      int least = Integer.parseInt(ends[0].strip());
      Range range = new Range(least, ends.length == 1 ? least : Integer.parseInt(ends[1].strip()));
      if (range.least < 0 || range.most < range.least) {
        throw new InvalidRequest(
            "\"%s\" is no range; expected a number from 0, or two in rising order such as 64-256"
                .formatted(text));
      }
      return range;
    } catch (NumberFormatException e) {
      throw new InvalidRequest(
          "\"%s\" is no number; expected one such as 128, or two such as 64-256".formatted(text),
          e);
    }
  }

  int draw(SplittableRandom random) {
    return random.nextInt(least, most + 1);
  }
}
