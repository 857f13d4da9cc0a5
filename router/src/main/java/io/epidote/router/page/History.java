package io.epidote.router.page;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.proto.v1.Timeline;
import io.epidote.router.request.EndedRequest;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * Figures of requests by periods of equal length, the last {@value #POINTS} of them. A request
 * belongs to the period in which it ended. Thread-safe; recording takes well under a microsecond
 * and is done once for a request.
 */
final class History {
  static final int PERIOD_MS = 2000;
  static final int POINTS = 300;

  /** A period that is over. */
  private record Point(long number, ObjectNode json) {}

  private final Deque<Point> points = new ArrayDeque<>();
  private Period now = new Period();
  private long last;

  private static final class Period {
    private final Figures ttft = new Figures();
    private final Figures tpot = new Figures();
    private int ended;
    private int failed;
    private int counted;
    private int onTarget;
    private long promptTokens;
    private long answerTokens;
    private long prefilled;
    private long prefillCached;
    private long tiles;
    private long tilesCached;
  }

  synchronized void record(EndedRequest request) {
    now.ended++;
    now.failed += request.outcome().isFailure() ? 1 : 0;
    if (request.counts()) {
      now.counted++;
      now.onTarget += request.isOnTarget() ? 1 : 0;
    }
    request.ttftMs().ifPresent(now.ttft::add);
    request.tpotMs().ifPresent(now.tpot::add);
    now.promptTokens += request.promptTokens();
    now.answerTokens += request.answerTokens();
    for (Timeline timeline : request.timelines()) {
      for (StageTiming stage : timeline.getStagesList()) {
        if (stage.getStage() == Stage.STAGE_PREFILL) {
          now.prefilled += stage.getUnits();
          now.prefillCached += stage.getCachedUnits();
        } else if (stage.getStage() == Stage.STAGE_ENCODE) {
          now.tiles += stage.getUnits();
          now.tilesCached += stage.getCachedUnits();
        }
      }
    }
  }

  /**
   * Ends a period, of which these are the state at its end.
   *
   * @param kvUse share of all KV blocks that are in use; NaN without any
   */
  synchronized void tick(int running, int waiting, double kvUse) {
    Period over = now;
    now = new Period();
    last++;
    ObjectNode json =
        JsonNodeFactory.instance
            .objectNode()
            .put("n", last)
            .put("ended", over.ended)
            .put("failed", over.failed)
            .put("with_targets", over.counted)
            .put("on_target", over.onTarget)
            .put("prompt_tokens", over.promptTokens)
            .put("answer_tokens", over.answerTokens)
            .put("prefill_tokens", over.prefilled)
            .put("prefill_tokens_cached", over.prefillCached)
            .put("tiles", over.tiles)
            .put("tiles_cached", over.tilesCached)
            .put("running", running)
            .put("waiting", waiting);
    put(json, "kv_use", kvUse);
    put(json, "ttft_p50_ms", over.ttft.quantile(0.5));
    put(json, "ttft_p95_ms", over.ttft.quantile(0.95));
    put(json, "tpot_p50_ms", over.tpot.quantile(0.5));
    put(json, "tpot_p95_ms", over.tpot.quantile(0.95));
    points.addLast(new Point(last, json));
    if (points.size() > POINTS) {
      points.removeFirst();
    }
  }

  /** Nothing is written where nothing was measured. */
  private static void put(ObjectNode json, String name, double value) {
    if (!Double.isNaN(value)) {
      json.put(name, Rounded.of(value));
    }
  }

  /**
   * The periods after one, oldest first.
   *
   * @param after a period's number; 0, or one that this router has not come to, for all
   */
  synchronized ObjectNode json(long after) {
    ObjectNode root = JsonNodeFactory.instance.objectNode();
    long from = after > last ? 0 : after;
    root.put("period_ms", PERIOD_MS).put("capacity", POINTS).put("last", last);
    root.put("all", from == 0);
    ArrayNode array = root.putArray("points");
    points.stream()
        .filter(point -> point.number() > from)
        .forEach(point -> array.add(point.json()));
    return root;
  }
}
