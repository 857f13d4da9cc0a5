package io.epidote.cli.top;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import io.epidote.cli.load.Access;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.SSLException;

/** Reads what a router tells of its cluster, each time what is new. Used by one thread. */
public final class ClusterWatch implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Duration TIMEOUT = Duration.ofSeconds(5);

  /**
   * A look at the cluster.
   *
   * @param cluster nodes, requests at work, roles
   * @param periodMs of a point
   * @param points figures by periods, oldest first
   * @param requests that ended, latest first
   */
  public record View(
      JsonNode cluster, int periodMs, List<JsonNode> points, List<JsonNode> requests) {
    /** Before anything was heard. */
    static final View EMPTY =
        new View(JsonNodeFactory.instance.objectNode(), 1, List.of(), List.of());
  }

  private final String base;
  private final Access access;
  private final HttpClient http;
  private View last = View.EMPTY;
  private long lastPoint;
  private long lastRequest;

  /**
   * @param address {@code host:port} of a router's HTTP port, or its URL
   * @param access certificates, and a key for routers that want one
   * @throws InvalidRequest when that is no address
   */
  public ClusterWatch(String address, Access access) {
    this.base =
        address.contains("://") ? address.replaceAll("/+$", "") : access.scheme() + "://" + address;
    this.access = access;
    this.http = access.http().connectTimeout(TIMEOUT).build();
    try {
      if (URI.create(base).getHost() == null) {
        throw new IllegalArgumentException("it has no host");
      }
    } catch (IllegalArgumentException e) {
      throw new InvalidRequest(
          "'%s' is no address of a router (%s); expected HOST:PORT of its HTTP port, for example localhost:8000"
              .formatted(address, e.getMessage()),
          e);
    }
  }

  /**
   * Blocks for as long as the router takes.
   *
   * @throws Unavailable when it does not answer, or has no page
   */
  public View look() throws InterruptedException {
    JsonNode cluster = get("/epidote/v1/cluster");
    JsonNode history = get("/epidote/v1/history?after=" + lastPoint);
    JsonNode ended = get("/epidote/v1/requests?after=" + lastRequest);
    List<JsonNode> points = new ArrayList<>();
    if (!history.path("all").asBoolean()) {
      points.addAll(last.points());
    }
    history.path("points").forEach(points::add);
    List<JsonNode> requests = new ArrayList<>();
    ended.path("requests").forEach(requests::add);
    if (!ended.path("all").asBoolean()) {
      requests.addAll(last.requests());
    }
    lastPoint = history.path("last").asLong();
    lastRequest = ended.path("last").asLong();
    last =
        new View(
            cluster,
            Math.max(1, history.path("period_ms").asInt()),
            List.copyOf(
                points.subList(
                    Math.max(0, points.size() - history.path("capacity").asInt()), points.size())),
            List.copyOf(
                requests.subList(0, Math.min(requests.size(), ended.path("capacity").asInt()))));
    return last;
  }

  private JsonNode get(String path) throws InterruptedException {
    HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(base + path)).timeout(TIMEOUT);
    try {
      HttpResponse<String> response =
          http.send(access.authorize(request).build(), BodyHandlers.ofString());
      return switch (response.statusCode()) {
        case 200 -> JSON.readTree(response.body());
        case 404 ->
            throw new Unavailable(
                "The router at %s has no page; it runs with --no-page, or it is no router."
                    .formatted(base));
        case 401, 403 ->
            throw new Unavailable(
                "The router at %s wants an API key; give --api-key-file, or set EPIDOTE_API_KEY."
                    .formatted(base));
        default ->
            throw new Unavailable(
                "The router at %s answers HTTP %d.".formatted(base, response.statusCode()));
      };
    } catch (JsonProcessingException e) {
      throw new Unavailable("What answers at %s is no router.".formatted(base), e);
    } catch (SSLException e) {
      throw new Unavailable(
          "%s and this command do not trust each other (%s); give --tls-ca, with --tls-cert and --tls-key where it wants a certificate"
              .formatted(base, e.getMessage()),
          e);
    } catch (IOException e) {
      throw new Unavailable(
          "No router answers at %s (%s); start one with 'epidote up', or name another with --router HOST:PORT, its HTTP port."
              .formatted(base, e.getClass().getSimpleName()),
          e);
    }
  }

  @Override
  public void close() {
    http.close();
  }
}
