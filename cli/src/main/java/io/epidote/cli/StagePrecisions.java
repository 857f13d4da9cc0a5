package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.model.Precision;
import io.epidote.proto.v1.Stage;
import java.util.EnumMap;
import java.util.Map;
import java.util.Set;
import picocli.CommandLine.ITypeConverter;

/** The precision of each stage's weights. */
record StagePrecisions(Precision encode, Precision prefill, Precision decode) {
  static StagePrecisions all(Precision precision) {
    return new StagePrecisions(precision, precision, precision);
  }

  /**
   * Reads {@code int8}, or {@code encode=fp32,prefill=int8,decode=int4}, where stages that are not
   * named are fp32.
   *
   * @throws InvalidRequest naming the part that is something else
   */
  static StagePrecisions parse(String text) {
    if (!text.contains("=")) {
      return all(Precision.ofWord(text.strip()));
    }
    Map<Stage, Precision> named = new EnumMap<>(Stage.class);
    for (String part : text.split(",", -1)) {
      String[] pair = part.split("=", -1);
      if (pair.length != 2) {
        throw new InvalidRequest(
            "'%s' in --precision %s is not of the form STAGE=PRECISION; expected for example encode=fp32,prefill=int8,decode=int4"
                .formatted(part, text));
      }
      Stage stage = NodeSpec.parseStages(pair[0]).iterator().next();
      if (named.put(stage, Precision.ofWord(pair[1].strip())) != null) {
        throw new InvalidRequest(
            "--precision %s names the %s stage twice".formatted(text, NodeSpec.word(stage)));
      }
    }
    return new StagePrecisions(
        named.getOrDefault(Stage.STAGE_ENCODE, Precision.FP32),
        named.getOrDefault(Stage.STAGE_PREFILL, Precision.FP32),
        named.getOrDefault(Stage.STAGE_DECODE, Precision.FP32));
  }

  /** What {@link #parse} reads. */
  String word() {
    return encode == prefill && prefill == decode
        ? encode.word()
        : "encode=%s,prefill=%s,decode=%s".formatted(encode.word(), prefill.word(), decode.word());
  }

  /**
   * Of the decoder of a node with these stages, prefill or decode among them.
   *
   * @throws InvalidRequest when it has both, at different precisions: there is one decoder
   */
  Precision decoder(Set<Stage> stages) {
    boolean both = stages.contains(Stage.STAGE_PREFILL) && stages.contains(Stage.STAGE_DECODE);
    if (both && prefill != decode) {
      throw new InvalidRequest(
          "A node that prefills and decodes has one decoder, which cannot be %s and %s; give both stages the same precision, or a node each"
              .formatted(prefill.word(), decode.word()));
    }
    return stages.contains(Stage.STAGE_PREFILL) ? prefill : decode;
  }

  static final class Converter implements ITypeConverter<StagePrecisions> {
    @Override
    public StagePrecisions convert(String text) {
      return parse(text);
    }
  }
}
