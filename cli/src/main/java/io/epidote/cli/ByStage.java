package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.proto.v1.Stage;
import java.util.EnumMap;
import java.util.Map;
import java.util.function.Function;

/** An option's value for each stage. */
record ByStage<T>(T encode, T prefill, T decode) {
  static <T> ByStage<T> all(T value) {
    return new ByStage<>(value, value, value);
  }

  /**
   * Reads one value for all stages, or {@code encode=A,prefill=B,decode=C}, where stages that are
   * not named have the default.
   *
   * @param option its name, for messages
   * @param example of the second form
   * @param value reads one
   * @throws InvalidRequest naming the part that is something else
   */
  static <T> ByStage<T> parse(
      String option, String text, String example, T byDefault, Function<String, T> value) {
    if (!text.contains("=")) {
      return all(value.apply(text.strip()));
    }
    Map<Stage, T> named = new EnumMap<>(Stage.class);
    for (String part : text.split(",", -1)) {
      String[] pair = part.split("=", -1);
      if (pair.length != 2) {
        throw new InvalidRequest(
            "'%s' in %s %s is not of the form STAGE=VALUE; expected for example %s"
                .formatted(part, option, text, example));
      }
      Stage stage = NodeSpec.parseStages(pair[0]).iterator().next();
      if (named.put(stage, value.apply(pair[1].strip())) != null) {
        throw new InvalidRequest(
            "%s %s names the %s stage twice".formatted(option, text, NodeSpec.word(stage)));
      }
    }
    return new ByStage<>(
        named.getOrDefault(Stage.STAGE_ENCODE, byDefault),
        named.getOrDefault(Stage.STAGE_PREFILL, byDefault),
        named.getOrDefault(Stage.STAGE_DECODE, byDefault));
  }

  /** What {@link #parse} reads. */
  String word(Function<T, String> value) {
    return encode.equals(prefill) && prefill.equals(decode)
        ? value.apply(encode)
        : "encode=%s,prefill=%s,decode=%s"
            .formatted(value.apply(encode), value.apply(prefill), value.apply(decode));
  }
}
