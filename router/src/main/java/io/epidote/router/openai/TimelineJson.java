package io.epidote.router.openai;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.proto.v1.StageTiming;
import io.epidote.proto.v1.Timeline;
import io.epidote.router.cluster.StageNames;

/** A request's timeline as JSON: the fields of the contract by their names. */
public final class TimelineJson {
  private TimelineJson() {}

  public static ObjectNode of(Timeline timeline) {
    ObjectNode root =
        JsonNodeFactory.instance
            .objectNode()
            .put("router_ms", timeline.getRouterMs())
            .put("ttft_ms", timeline.getTtftMs())
            .put("total_ms", timeline.getTotalMs())
            .put("topology", timeline.getTopology())
            .put("predicted_ttft_ms", timeline.getPredictedTtftMs())
            .put("recoveries", timeline.getRecoveries())
            .put("expected_late", timeline.getExpectedLate());
    ArrayNode stages = root.putArray("stages");
    for (StageTiming stage : timeline.getStagesList()) {
      ObjectNode entry =
          stages
              .addObject()
              .put("stage", StageNames.of(stage.getStage()))
              .put("node", stage.getNodeId())
              .put("precision", stage.getPrecision())
              .put("queue_ms", stage.getQueueMs())
              .put("compute_ms", stage.getComputeMs())
              .put("transfer_ms", stage.getTransferMs())
              .put("overlapped_compute_ms", stage.getOverlappedComputeMs())
              .put("overlapped_transfer_ms", stage.getOverlappedTransferMs())
              .put("handoff_ms", stage.getHandoffMs())
              .put("bytes_moved", stage.getBytesMoved())
              .put("units", stage.getUnits())
              .put("cached_units", stage.getCachedUnits());
      if (!stage.getKvWire().isEmpty()) {
        entry.put("kv_wire", stage.getKvWire());
      }
    }
    return root;
  }
}
