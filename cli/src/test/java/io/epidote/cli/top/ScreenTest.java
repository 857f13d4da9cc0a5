package io.epidote.cli.top;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.ArrayList;
import java.util.List;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

/** A look at the cluster as lines. */
class ScreenTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  private static final String NODE =
      """
      {"id":"%s","stages":["prefill","decode"],"running":3,"queued":2,"awaiting":1,
       "kv":{"used":512,"cached":256,"total":1024},"prefill":{"waiting_tokens":77},
       "decode":{"answers":3},"resident_bytes":367001600,"fault":"%s",
       "adapters":[{"name":"french","tier":"hot"},{"name":"json","tier":"cold"}]}\
      """;

  private static final String REQUEST =
      """
      {"id":"r%d","model":"scenes:french","outcome":"stop","prompt_tokens":100,"answer_tokens":20,
       "ttft_ms":40,"tpot_ms":3,"total_ms":100,"on_target":false,"timelines":[%s]}\
      """;

  private static final String TIMELINE =
      """
      {"router_ms":10,"ttft_ms":50,"total_ms":100,"stages":[
       {"stage":"encode","queue_ms":5,"compute_ms":15},
       {"stage":"prefill","queue_ms":5,"compute_ms":10,"transfer_ms":10,"handoff_ms":10},
       {"stage":"decode","compute_ms":35,"transfer_ms":10,"overlapped_transfer_ms":5,
        "handoff_ms":15}]}\
      """;

  private static ClusterWatch.View view(int nodes, int requests) throws Exception {
    List<String> each = new ArrayList<>();
    for (int i = 0; i < nodes; i++) {
      each.add(NODE.formatted("a-node-with-a-long-name-" + i, i == 1 ? "stuck" : ""));
    }
    JsonNode cluster =
        JSON.readTree(
            """
            {"model":"scenes","ready":true,"uptime_s":100,"requests":{"running":4,"waiting":2},
             "targets":{"ttft_ms":200},"nodes":[%s],
             "roles":{"automatic":true,"verdict":"stay","pressures":[
               {"stage":"encode","nodes":1,"backlog_s":0.5,"utilisation":0.25}],"switches":[]}}\
            """
                .formatted(String.join(",", each)));
    List<JsonNode> points = new ArrayList<>();
    for (int i = 0; i < 30; i++) {
      points.add(
          JSON.readTree(
              "{\"ended\":4,\"failed\":1,\"with_targets\":4,\"on_target\":3,\"ttft_p50_ms\":%d}"
                  .formatted(i + 1)));
    }
    List<JsonNode> ended = new ArrayList<>();
    for (int i = 0; i < requests; i++) {
      ended.add(JSON.readTree(REQUEST.formatted(i, TIMELINE)));
    }
    return new ClusterWatch.View(cluster, 2000, points, ended);
  }

  @Property(tries = 200)
  void noLineIsTooWideAndNoneTooMany(
      @ForAll @IntRange(min = 1, max = 250) int columns,
      @ForAll @IntRange(min = 1, max = 80) int rows,
      @ForAll @IntRange(min = 0, max = 40) int nodes)
      throws Exception {
    List<String> lines = Screen.draw(view(nodes, 50), "a note", true, columns, rows, true, true);
    assertThat(lines).hasSizeLessThanOrEqualTo(rows);
    assertThat(lines)
        .allSatisfy(line -> {
          assertThat(line.replaceAll("\u001b\\[[0-9]*m", "").length()).isLessThanOrEqualTo(columns);
          // Whatever was begun is ended, or the rest of the screen would look so.
          assertThat(line.split("\u001b\\[0m", -1).length)
              .isEqualTo(line.split("\u001b\\[[1-9][0-9]*m", -1).length);
        });
  }

  @Test
  void itSaysWhatTheClusterDoes() throws Exception {
    List<String> lines = Screen.draw(view(2, 3), "", false, 160, 60, false, true);
    String text = String.join("\n", lines);
    assertThat(lines.getFirst()).contains("scenes", "ready", "4 at work, 2 waiting");
    assertThat(text)
        .contains("TTFT p50   30.0 ms", "▁", "█", "target 200 ms")
        .contains("on target     75 %")
        .contains("a-node-with~ PD      3     2     1 50/25 % ")
        .contains("77 prompt tokens, 3 answers   350 MiB", "unhealthy: stuck")
        .contains("french       hot on a-node", "json         cold on a-node")
        .contains("by the router: stay", "encode 25 % on 1, 0.5 s wait")
        .contains("100+20", "stop late");
    assertThat(Screen.draw(view(2, 3), "", false, 160, 60, false, false).toString())
        .doesNotContain("▁");
  }

  @Test
  void aNarrowScreenHasTimelines() throws Exception {
    String text = String.join("\n", Screen.draw(view(2, 3), "", false, 80, 40, false, true));
    assertThat(text).contains("EE", "PP", "DD", "stop late").doesNotContain("100+20");
  }

  @Test
  void whatDoesNotFitIsCounted() throws Exception {
    assertThat(Screen.draw(view(30, 3), "", false, 100, 24, false, true))
        .anyMatch(line -> line.matches("and \\d+ more nodes"));
  }

  @Test
  void aTimelineIsARowOfLetters() throws Exception {
    // Of 100 ms in 20 columns, each 5 ms: router 10, queue 5, encode 15; prefill pulls from 30 to
    // 40 and ends at 50; decode pulls from 45 to 55 and computes from 65 to 100.
    assertThat(TimelineBar.of(timeline(), 20)).isEqualTo("rr.EEE--PP-  DDDDDDD");
  }

  @Test
  void aBarOfNothingIsEmpty() throws Exception {
    assertThat(TimelineBar.of(JSON.readTree("{}"), 20)).isEmpty();
    assertThat(TimelineBar.of(timeline(), 0)).isEmpty();
  }

  private static JsonNode timeline() throws Exception {
    return JSON.readTree(TIMELINE);
  }
}
