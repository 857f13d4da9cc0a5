package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.model.Precision;
import io.epidote.proto.v1.Stage;
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
    ByStage<Precision> each =
        ByStage.parse(
            "--precision",
            text,
            "encode=fp32,prefill=int8,decode=int4",
            Precision.FP32,
            Precision::ofWord);
    return new StagePrecisions(each.encode(), each.prefill(), each.decode());
  }

  /** What {@link #parse} reads. */
  String word() {
    return new ByStage<>(encode, prefill, decode).word(Precision::word);
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
