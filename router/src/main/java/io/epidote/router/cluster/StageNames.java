package io.epidote.router.cluster;

import io.epidote.proto.v1.Stage;
import java.util.Collection;
import java.util.List;
import java.util.stream.Collectors;

/** Stages as people and flags write them. */
public final class StageNames {
  /** In the order in which a request meets them. */
  public static final List<Stage> ALL =
      List.of(Stage.STAGE_ENCODE, Stage.STAGE_PREFILL, Stage.STAGE_DECODE);

  private StageNames() {}

  /** What a node has that has these. */
  public static String of(Collection<Stage> stages) {
    return ALL.stream()
        .filter(stages::contains)
        .map(StageNames::of)
        .collect(Collectors.joining(" and "));
  }

  public static String of(Stage stage) {
    return switch (stage) {
      case STAGE_ENCODE -> "encode";
      case STAGE_PREFILL -> "prefill";
      case STAGE_DECODE -> "decode";
      case STAGE_UNSPECIFIED, UNRECOGNIZED -> "unknown";
    };
  }
}
