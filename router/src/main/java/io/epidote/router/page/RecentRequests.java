package io.epidote.router.page;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.router.openai.TimelineJson;
import io.epidote.router.request.EndedRequest;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.Locale;
import java.util.function.LongSupplier;

/** The last {@value #KEPT} requests that ended. Thread-safe. */
final class RecentRequests {
  static final int KEPT = 100;

  private record Kept(long number, long nanos, EndedRequest request) {}

  private final Deque<Kept> latestFirst = new ArrayDeque<>();
  private final LongSupplier clock;
  private long last;

  /**
   * @param clock in nanoseconds
   */
  RecentRequests(LongSupplier clock) {
    this.clock = clock;
  }

  synchronized void record(EndedRequest request) {
    last++;
    latestFirst.addFirst(new Kept(last, clock.getAsLong(), request));
    if (latestFirst.size() > KEPT) {
      latestFirst.removeLast();
    }
  }

  /**
   * Those after one, latest first.
   *
   * @param after a request's number; 0, or one that this router has not come to, for all
   */
  synchronized ObjectNode json(long after) {
    long now = clock.getAsLong();
    long from = after > last ? 0 : after;
    ObjectNode root = JsonNodeFactory.instance.objectNode();
    root.put("capacity", KEPT).put("last", last).put("all", from == 0);
    ArrayNode array = root.putArray("requests");
    Iterator<Kept> each = latestFirst.iterator();
    while (each.hasNext()) {
      Kept kept = each.next();
      if (kept.number() <= from) {
        break;
      }
      array.add(json(kept, now));
    }
    return root;
  }

  private static ObjectNode json(Kept kept, long now) {
    EndedRequest request = kept.request();
    ObjectNode json =
        JsonNodeFactory.instance
            .objectNode()
            .put("n", kept.number())
            .put("age_ms", (now - kept.nanos()) / 1_000_000)
            .put("id", request.id())
            .put("model", request.model())
            .put("outcome", request.outcome().name().toLowerCase(Locale.ROOT))
            .put("media", request.media())
            .put("prompt_tokens", request.promptTokens())
            .put("answer_tokens", request.answerTokens())
            .put("total_ms", Rounded.of(request.totalMs()));
    request.ttftMs().ifPresent(ms -> json.put("ttft_ms", Rounded.of(ms)));
    request.tpotMs().ifPresent(ms -> json.put("tpot_ms", Rounded.of(ms)));
    if (request.counts()) {
      json.put("on_target", request.isOnTarget());
    }
    ArrayNode timelines = json.putArray("timelines");
    request.timelines().forEach(timeline -> timelines.add(TimelineJson.of(timeline)));
    return json;
  }
}
