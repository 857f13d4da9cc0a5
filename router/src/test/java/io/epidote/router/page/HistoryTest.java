package io.epidote.router.page;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.proto.v1.Timeline;
import io.epidote.router.request.EndedRequest;
import io.epidote.router.request.EndedRequest.Outcome;
import io.epidote.router.request.Slo;
import java.util.List;
import java.util.OptionalDouble;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** What is kept of requests, and for how long. */
class HistoryTest {
  private static final Slo TARGETS = new Slo(OptionalDouble.of(100), OptionalDouble.of(10));

  private final History history = new History();

  private static EndedRequest request(Outcome outcome, double ttft, double tpot, Slo slo) {
    Timeline timeline =
        Timeline.newBuilder()
            .setTotalMs(2 * ttft)
            .addStages(
                StageTiming.newBuilder()
                    .setStage(Stage.STAGE_PREFILL)
                    .setUnits(6)
                    .setCachedUnits(16))
            .build();
    return new EndedRequest(
        "r",
        "m",
        1,
        22,
        5,
        outcome,
        2 * ttft,
        OptionalDouble.of(ttft),
        OptionalDouble.of(tpot),
        slo,
        List.of(timeline));
  }

  private JsonNode onlyPoint() {
    history.tick(3, 4, 0.25);
    JsonNode points = history.json(0).path("points");
    assertThat(points).hasSize(1);
    return points.get(0);
  }

  @Test
  void aPeriodHasTheQuantilesOfWhatEndedInIt() {
    for (int i = 1; i <= 100; i++) {
      history.record(request(Outcome.STOP, i, i / 10.0, Slo.NONE));
    }
    JsonNode point = onlyPoint();
    assertThat(point.path("ttft_p50_ms").asDouble()).isEqualTo(50);
    assertThat(point.path("ttft_p95_ms").asDouble()).isEqualTo(95);
    assertThat(point.path("tpot_p95_ms").asDouble()).isEqualTo(9.5);
    assertThat(point.path("ended").asInt()).isEqualTo(100);
    assertThat(point.path("answer_tokens").asInt()).isEqualTo(500);
    assertThat(point.path("prefill_tokens").asInt()).isEqualTo(600);
    assertThat(point.path("prefill_tokens_cached").asInt()).isEqualTo(1600);
    assertThat(point.path("running").asInt()).isEqualTo(3);
    assertThat(point.path("waiting").asInt()).isEqualTo(4);
    assertThat(point.path("kv_use").asDouble()).isEqualTo(0.25);
    assertThat(point.path("with_targets").asInt()).isZero();
  }

  @Test
  void whatWasNotMeasuredIsNotWritten() {
    history.tick(0, 0, Double.NaN);
    JsonNode point = history.json(0).path("points").get(0);
    assertThat(point.has("ttft_p50_ms")).isFalse();
    assertThat(point.has("kv_use")).isFalse();
    assertThat(point.path("ended").asInt()).isZero();
  }

  @Test
  void failuresMissTheirTargetsAndClientsThatLeaveDoNotCount() {
    history.record(request(Outcome.STOP, 100, 10, TARGETS));
    history.record(request(Outcome.LENGTH, 101, 5, TARGETS));
    history.record(request(Outcome.STOP, 50, 11, TARGETS));
    history.record(request(Outcome.REFUSED, 1, 1, TARGETS));
    history.record(request(Outcome.UNAVAILABLE, 1, 1, TARGETS));
    history.record(request(Outcome.ABORT, 500, 1, TARGETS));
    history.record(request(Outcome.INVALID, 500, 1, TARGETS));
    JsonNode point = onlyPoint();
    assertThat(point.path("with_targets").asInt()).isEqualTo(5);
    assertThat(point.path("on_target").asInt()).isEqualTo(1);
    assertThat(point.path("failed").asInt()).isEqualTo(2);
  }

  @Test
  void oldPeriodsGoAndOnlyNewOnesAreSent() {
    for (int i = 0; i < History.POINTS + 7; i++) {
      history.tick(i, 0, 0);
    }
    JsonNode all = history.json(0);
    assertThat(all.path("points")).hasSize(History.POINTS);
    assertThat(all.path("all").asBoolean()).isTrue();
    long last = all.path("last").asLong();
    assertThat(last).isEqualTo(History.POINTS + 7);
    JsonNode newer = history.json(last - 2);
    assertThat(newer.path("points")).hasSize(2);
    assertThat(newer.path("all").asBoolean()).isFalse();
    assertThat(history.json(last).path("points")).isEmpty();
    // Whoever knows more than there is has heard it of a router before this one.
    assertThat(history.json(last + 1).path("all").asBoolean()).isTrue();
  }

  @Test
  void aFloodIsSampled() {
    Figures figures = new Figures();
    for (int i = 0; i < 100_000; i++) {
      figures.add(i % 1000);
    }
    assertThat(figures.quantile(0.5)).isBetween(400.0, 600.0);
    assertThat(figures.quantile(1)).isBetween(950.0, 999.0);
  }

  @Test
  void theLastRequestsAreKeptLatestFirst() {
    AtomicLong clock = new AtomicLong();
    RecentRequests requests = new RecentRequests(clock::get);
    for (int i = 0; i < RecentRequests.KEPT + 5; i++) {
      requests.record(request(Outcome.STOP, i + 1, 1, i % 2 == 0 ? TARGETS : Slo.NONE));
    }
    clock.set(3_000_000_000L);
    JsonNode all = requests.json(0);
    assertThat(all.path("requests")).hasSize(RecentRequests.KEPT);
    JsonNode latest = all.at("/requests/0");
    assertThat(latest.path("n").asInt()).isEqualTo(RecentRequests.KEPT + 5);
    assertThat(latest.path("age_ms").asInt()).isEqualTo(3000);
    assertThat(latest.path("on_target").asBoolean(true)).isFalse();
    assertThat(latest.at("/timelines/0/stages/0/cached_units").asInt()).isEqualTo(16);
    assertThat(all.at("/requests/1").has("on_target")).isFalse();
    assertThat(requests.json(RecentRequests.KEPT + 4).path("requests")).hasSize(1);
  }
}
