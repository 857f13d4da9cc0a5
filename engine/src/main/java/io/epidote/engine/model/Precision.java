package io.epidote.engine.model;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * How the weights of linear layers are stored and multiplied. Attention, norms and sums are float32
 * in each.
 */
public enum Precision {
  /** Weights as they are. The reference. */
  FP32,
  /**
   * Weights at one scale per output; activations at 8 bits with one scale per row, so that a row's
   * result does not depend on the batch.
   */
  INT8,
  /**
   * Weights at 4 bits in blocks of 32 along the input; activations at 8 bits in the same blocks.
   */
  INT4;

  /** As users write it: {@code fp32}, {@code int8}, {@code int4}. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /**
   * Reads {@link #word}.
   *
   * @throws InvalidRequest for any other word
   */
  public static Precision ofWord(String word) {
    return Arrays.stream(values())
        .filter(precision -> precision.word().equals(word))
        .findFirst()
        .orElseThrow(() ->
            new InvalidRequest(
                "'%s' is not a precision; expected one of %s"
                    .formatted(
                        word,
                        Arrays.stream(values())
                            .map(Precision::word)
                            .collect(Collectors.joining(", ")))));
  }
}
