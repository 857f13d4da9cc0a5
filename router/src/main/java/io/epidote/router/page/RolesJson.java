package io.epidote.router.page;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.proto.v1.ExplainResponse;
import io.epidote.proto.v1.RoleDecision;
import io.epidote.proto.v1.RoleOption;
import io.epidote.proto.v1.RoleSwitch;
import io.epidote.proto.v1.StagePressure;
import io.epidote.router.cluster.StageNames;
import java.util.List;

/** What the role controller last decided, and the last switches. */
final class RolesJson {
  private static final int SWITCHES = 10;

  private RolesJson() {}

  static ObjectNode of(ExplainResponse explained) {
    RoleDecision last = explained.getLast();
    ObjectNode json =
        JsonNodeFactory.instance
            .objectNode()
            .put("automatic", explained.getAutomatic())
            .put("age_ms", Math.round(last.getAgeMs()))
            .put("verdict", last.getVerdict())
            .put("attainment", Rounded.of(last.getAttainment()));
    ArrayNode pressures = json.putArray("pressures");
    for (StagePressure pressure : last.getPressuresList()) {
      ObjectNode stage =
          pressures
              .addObject()
              .put("stage", StageNames.of(pressure.getStage()))
              .put("nodes", pressure.getNodes())
              .put("backlog_s", Rounded.of(pressure.getBacklogS()));
      // Below 0: a stage with work and without a node.
      if (pressure.getUtilisation() >= 0) {
        stage.put("utilisation", Rounded.of(pressure.getUtilisation()));
      }
    }
    ArrayNode options = json.putArray("options");
    for (RoleOption option : last.getOptionsList()) {
      options
          .addObject()
          .put("node", String.join(" and ", option.getNodeIdsList()))
          .put("attainment", Rounded.of(option.getAttainment()))
          .put("why_not", option.getWhyNot())
          .set("stages", NodeJson.stages(option.getStagesList()));
    }
    json.put("switch_count", explained.getSwitchesCount());
    ArrayNode switches = json.putArray("switches");
    List<RoleSwitch> all = explained.getSwitchesList();
    for (RoleSwitch each : all.subList(Math.max(0, all.size() - SWITCHES), all.size())) {
      ObjectNode row =
          switches
              .addObject()
              .put("node", each.getNodeId())
              .put("age_ms", Math.round(each.getAgeMs()))
              .put("manual", each.getManual())
              .put("error", each.getError());
      row.set("from", NodeJson.stages(each.getFromList()));
      row.set("to", NodeJson.stages(each.getToList()));
      row.put(
          "total_ms", Rounded.of(each.getPhasesList().stream().mapToDouble(p -> p.getMs()).sum()));
    }
    return json;
  }
}
