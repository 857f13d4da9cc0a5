package io.epidote.cli;

import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import java.util.List;

/** Two clusters of emulated nodes, alike but for whether the stages of a request may overlap. */
final class OverlapSides implements AutoCloseable {
  private final Cluster strict;
  private final Cluster overlapping;
  private final InferenceClient toStrict;
  private final InferenceClient toOverlapping;

  /**
   * @param options of both clusters
   */
  OverlapSides(ClusterOptions options, Progress progress) {
    List<NodeSpec> nodes = NodeSpec.parseList("E,P,D");
    options.router.noOverlap = true;
    strict = LocalCluster.start(options, nodes, progress);
    options.router.noOverlap = false;
    overlapping = LocalCluster.start(options, nodes, progress);
    toStrict = new InferenceClient(strict.grpcAddress());
    toOverlapping = new InferenceClient(overlapping.grpcAddress());
  }

  InferenceClient.Answer strict(GenerateRequest request) {
    return toStrict.generate(request, text -> {});
  }

  InferenceClient.Answer overlapping(GenerateRequest request) {
    return toOverlapping.generate(request, text -> {});
  }

  /** A stage's part of an answer's timeline. */
  static StageTiming timing(InferenceClient.Answer answer, Stage stage) {
    return answer.finished().getTimeline().getStagesList().stream()
        .filter(timing -> timing.getStage() == stage)
        .findFirst()
        .orElse(StageTiming.getDefaultInstance());
  }

  @Override
  public void close() {
    toStrict.close();
    toOverlapping.close();
    strict.close();
    overlapping.close();
  }
}
