package io.epidote.router.page;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.proto.v1.AdapterTierStatus;
import io.epidote.proto.v1.DecodeLoad;
import io.epidote.proto.v1.EncodeLoad;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.PrefillLoad;
import io.epidote.proto.v1.Stage;
import io.epidote.router.cluster.StageNames;
import java.util.List;

/** A node with its latest load report. */
final class NodeJson {
  private NodeJson() {}

  static ObjectNode of(NodeStatus node) {
    ObjectNode json =
        JsonNodeFactory.instance
            .objectNode()
            .put("id", node.getNodeId())
            .put("address", node.getAddress());
    json.set("stages", stages(node.getStagesList()));
    json.put("running", node.getRunning())
        .put("queued", node.getQueued())
        .put("awaiting", node.getAwaiting())
        .put("handles", node.getHandles())
        .put("draining", node.getDraining())
        .put("fault", node.getFault())
        .put("role_generation", node.getRoleGeneration())
        .put("resident_bytes", node.getResidentBytes());
    ArrayNode weights = json.putArray("weights");
    node.getWeightsList()
        .forEach(group ->
            weights
                .addObject()
                .put("name", group.getName())
                .put("precision", group.getPrecision())
                .put("bytes", group.getBytes()));
    blocks(
        json,
        "kv",
        node.getKvBlocksUsed(),
        node.getKvBlocksCached(),
        node.getKvBlocksTotal(),
        node.getKvBlockBytes());
    blocks(
        json,
        "media",
        node.getMediaBlocksUsed(),
        node.getMediaBlocksCached(),
        node.getMediaBlocksTotal(),
        node.getMediaBlockBytes());
    blocks(
        json,
        "swap",
        node.getSwapBlocksUsed(),
        0,
        node.getSwapBlocksTotal(),
        node.getKvBlockBytes());
    if (node.hasEncode()) {
      EncodeLoad encode = node.getEncode();
      json.putObject("encode")
          .put("waiting_tiles", encode.getWaitingTiles())
          .put("tile_ms", Rounded.of(encode.getTileMs()))
          .put("cache_hits", encode.getCacheHits())
          .put("cache_misses", encode.getCacheMisses())
          .put("cache_evictions", encode.getCacheEvictions());
    }
    if (node.hasPrefill()) {
      PrefillLoad prefill = node.getPrefill();
      json.putObject("prefill")
          .put("waiting_tokens", prefill.getWaitingTokens())
          .put("step_ms", Rounded.of(prefill.getStep().getFixedMs()))
          .put("token_ms", Rounded.of(prefill.getStep().getUnitMs()));
    }
    if (node.hasDecode()) {
      DecodeLoad decode = node.getDecode();
      json.putObject("decode")
          .put("answers", decode.getAnswers())
          .put("step_ms", Rounded.of(decode.getStep().getFixedMs()))
          .put("answer_ms", Rounded.of(decode.getStep().getUnitMs()));
    }
    adapters(json, node);
    return json;
  }

  static ArrayNode stages(List<Stage> stages) {
    ArrayNode names = JsonNodeFactory.instance.arrayNode();
    stages.forEach(stage -> names.add(StageNames.of(stage)));
    return names;
  }

  private static void blocks(
      ObjectNode json, String name, int used, int cached, int total, long bytes) {
    if (total > 0) {
      json.putObject(name)
          .put("used", used)
          .put("cached", cached)
          .put("total", total)
          .put("block_bytes", bytes);
    }
  }

  private static void adapters(ObjectNode json, NodeStatus node) {
    ArrayNode adapters = json.putArray("adapters");
    node.getAdaptersList()
        .forEach(adapter ->
            adapters
                .addObject()
                .put("name", adapter.getName())
                .put("kind", adapter.getKind())
                .put("tier", adapter.getTier())
                .put("requests", adapter.getRequests())
                .put("bytes", adapter.getBytes()));
    if (node.getAdaptersCount() > 0) {
      AdapterTierStatus tiers = node.getAdapterTiers();
      json.putObject("adapter_tiers")
          .put("hot_slots", tiers.getHotSlots())
          .put("hot_bytes", tiers.getHotBytes())
          .put("warm_bytes", tiers.getWarmBytes())
          .put("cold_bytes", tiers.getColdBytes())
          .put("switches", tiers.getSwitches())
          .put("evictions", tiers.getEvictions())
          .put("hits", tiers.getHits())
          .put("waits", tiers.getWaits())
          .put("longest_wait_ms", Rounded.of(tiers.getLongestWaitMs()));
    }
  }
}
