package io.epidote.router.page;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.router.cluster.Cluster;
import io.epidote.router.cluster.Member;
import io.epidote.router.cluster.StageNames;
import io.epidote.router.openai.WebPaths;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.RequestFlow;
import io.epidote.router.request.Slo;
import io.epidote.router.roles.RoleController;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.QueryStringDecoder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * The page and its JSON:
 *
 * <ul>
 *   <li>{@code /epidote/v1/cluster}: nodes with their latest reports, adapters, requests at work,
 *       targets, the role controller's last verdict
 *   <li>{@code /epidote/v1/history?after=N}: figures of requests by periods, the last ten minutes
 *   <li>{@code /epidote/v1/requests?after=N}: the last requests with their timelines
 * </ul>
 *
 * What is asked and answered is in none of them, nor are error messages, which may quote it.
 * Thread-safe.
 */
public final class StatusPage implements WebPaths, AutoCloseable {
  private static final String CLUSTER = "/epidote/v1/cluster";
  private static final String HISTORY = "/epidote/v1/history";
  private static final String REQUESTS = "/epidote/v1/requests";
  private static final Map<String, String> HEADERS =
      Map.of("cache-control", "no-store", "x-content-type-options", "nosniff");

  private final Cluster cluster;
  private final RequestFlow flow;
  private final RoleController roles;
  private final String version;
  private final int maxBody;
  private final StaticFiles files = new StaticFiles();
  private final History history = new History();
  private final RecentRequests requests = new RecentRequests(System::nanoTime);
  private final long startNanos = System.nanoTime();
  private final ScheduledThreadPoolExecutor timer;

  /**
   * Listens to requests from now on, until the flow is over.
   *
   * @param version of Epidote
   * @param maxBody largest body of a request in bytes
   */
  public StatusPage(
      Cluster cluster, RequestFlow flow, RoleController roles, String version, int maxBody) {
    this.cluster = cluster;
    this.flow = flow;
    this.roles = roles;
    this.version = version;
    this.maxBody = maxBody;
    flow.onEnd(requests::record);
    flow.onEnd(history::record);
    timer =
        new ScheduledThreadPoolExecutor(
            1, Thread.ofPlatform().daemon().name("page-history").factory());
    timer.scheduleAtFixedRate(
        () -> history.tick(flow.inFlight(), flow.waiting(), kvUse()),
        History.PERIOD_MS,
        History.PERIOD_MS,
        TimeUnit.MILLISECONDS);
  }

  private double kvUse() {
    long used = 0;
    long total = 0;
    for (Member member : cluster.members()) {
      used += member.status().getKvBlocksUsed();
      total += member.status().getKvBlocksTotal();
    }
    return total == 0 ? Double.NaN : (double) used / total;
  }

  @Override
  public Optional<Reply> get(String path, String query) {
    return switch (path) {
      case CLUSTER -> Optional.of(json(cluster()));
      case HISTORY -> Optional.of(json(history.json(after(query))));
      case REQUESTS -> Optional.of(json(requests.json(after(query))));
      default -> files.get(path);
    };
  }

  @Override
  public boolean isOpen(String path) {
    return files.get(path).isPresent();
  }

  private static Reply json(ObjectNode body) {
    return new Reply(
        HttpResponseStatus.OK,
        "application/json",
        body.toString().getBytes(StandardCharsets.UTF_8),
        HEADERS);
  }

  /** The number behind which something is new to whoever asks. */
  private static long after(String query) {
    List<String> values =
        new QueryStringDecoder(query, false).parameters().getOrDefault("after", List.of());
    if (values.isEmpty()) {
      return 0;
    }
    try {
      return Math.max(0, Long.parseLong(values.getFirst()));
    } catch (NumberFormatException e) {
      throw new InvalidField(
          "after", "is not a number; expected the \"last\" of an earlier response");
    }
  }

  private ObjectNode cluster() {
    ObjectNode json =
        JsonNodeFactory.instance
            .objectNode()
            .put("version", version)
            .put("model", flow.model().name())
            .put("context_tokens", flow.model().contextTokens())
            .put("uptime_s", TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - startNanos))
            .put("max_body_bytes", maxBody);
    ArrayNode models = json.putArray("models");
    flow.models().forEach(models::add);
    json.put("ready", cluster.ready());
    ArrayNode missing = json.putArray("missing_stages");
    cluster.missingStages().forEach(stage -> missing.add(StageNames.of(stage)));
    ObjectNode slo = json.putObject("targets");
    Slo targets = flow.slo();
    targets.ttftMs().ifPresent(ms -> slo.put("ttft_ms", ms));
    targets.tpotMs().ifPresent(ms -> slo.put("tpot_ms", ms));
    json.putObject("requests").put("running", flow.inFlight()).put("waiting", flow.waiting());
    ArrayNode nodes = json.putArray("nodes");
    for (Member member : cluster.members()) {
      NodeStatus status = member.status();
      nodes.add(NodeJson.of(status));
    }
    json.set("roles", RolesJson.of(roles.explain()));
    return json;
  }

  @Override
  public void close() {
    timer.shutdownNow();
  }
}
