package io.epidote.cli;

import io.epidote.engine.model.Precision;
import picocli.CommandLine.ITypeConverter;

/** Reads {@code fp32}, {@code int8} or {@code int4}. */
final class PrecisionConverter implements ITypeConverter<Precision> {
  @Override
  public Precision convert(String word) {
    return Precision.ofWord(word);
  }
}
