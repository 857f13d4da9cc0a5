package io.epidote.cli.load;

import io.epidote.proto.v1.GetLoadRequest;
import io.epidote.proto.v1.GetLoadResponse;
import io.epidote.proto.v1.InferenceGrpc;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.Stage;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Looks at the server while it is under load: Epidote's nodes over gRPC, or else the requests that
 * run and wait from the {@code /metrics} that vLLM, llama.cpp and others have. What cannot be seen
 * is left out.
 */
public final class ServerWatch implements AutoCloseable {
  private static final long STEP_MS = 250;
  private static final int DEADLINE_MS = 2000;
  private static final Pattern RUNNING =
      Pattern.compile(
          "^(?:vllm:num_requests_running|llamacpp:requests_processing)(?:\\{[^}]*})? ([0-9.e+]+)",
          Pattern.MULTILINE);
  private static final Pattern WAITING =
      Pattern.compile(
          "^(?:vllm:num_requests_waiting|llamacpp:requests_deferred)(?:\\{[^}]*})? ([0-9.e+]+)",
          Pattern.MULTILINE);

  /**
   * A node at a moment.
   *
   * @param role the first letters of its stages: EPD, PD, ...
   */
  public record Node(String id, String role, int running, int queued) {}

  /**
   * The server at a moment.
   *
   * @param nanos {@link System#nanoTime}
   * @param running requests that are at work
   * @param waiting requests that wait: for admission, or at a node
   * @param residentBytes of all nodes, 0 where it is not told
   * @param routerBytes resident memory of the router, 0 where it is not told
   * @param lossless whether all weights are fp32; false where it is not told
   */
  public record Sample(
      long nanos,
      double running,
      double waiting,
      List<Node> nodes,
      long residentBytes,
      long routerBytes,
      boolean lossless) {}

  private final Optional<String> router;
  private final URI metrics;
  private final Access access;
  private final List<Sample> samples = new ArrayList<>();
  private final Thread thread;
  private volatile boolean over;

  /**
   * @param router host:port of a router's gRPC port, where the server has one
   * @param root of the server's HTTP
   */
  ServerWatch(Optional<String> router, URI root, Access access) {
    this.router = router;
    this.access = access;
    this.metrics = URI.create(root + "/metrics");
    this.thread = Thread.ofPlatform().daemon().name("load-watch").unstarted(this::watch);
  }

  ServerWatch start() {
    thread.start();
    return this;
  }

  public List<Sample> samples() {
    synchronized (samples) {
      return List.copyOf(samples);
    }
  }

  private void watch() {
    try {
      if (router.isPresent()) {
        watchNodes(router.get());
      } else {
        watchMetrics();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void watchNodes(String address) throws InterruptedException {
    ManagedChannel channel = access.channel(address).build();
    try {
      while (!over) {
        try {
          add(
              sample(
                  InferenceGrpc.newBlockingStub(channel)
                      .withDeadlineAfter(DEADLINE_MS, TimeUnit.MILLISECONDS)
                      .getLoad(GetLoadRequest.newBuilder().setFresh(true).build())));
        } catch (StatusRuntimeException e) {
          // A server that is too busy to say how it is: there is a gap in the plot.
        }
        Thread.sleep(STEP_MS);
      }
    } finally {
      channel.shutdownNow();
    }
  }

  private static Sample sample(GetLoadResponse load) {
    List<Node> nodes =
        load.getNodesList().stream()
            .map(
                node -> new Node(node.getNodeId(), role(node), node.getRunning(), node.getQueued()))
            .toList();
    return new Sample(
        System.nanoTime(),
        load.getRequestsInFlight(),
        nodes.stream().mapToInt(Node::queued).sum(),
        nodes,
        load.getNodesList().stream().mapToLong(NodeStatus::getResidentBytes).sum(),
        load.getResidentBytes(),
        load.getNodesList().stream()
            .flatMap(node -> node.getWeightsList().stream())
            .allMatch(weights -> weights.getPrecision().equals("fp32")));
  }

  private static String role(NodeStatus node) {
    return node.getStagesList().stream()
        .sorted()
        .map(Stage::name)
        .map(name -> name.substring("STAGE_".length(), "STAGE_".length() + 1))
        .collect(Collectors.joining());
  }

  private void watchMetrics() throws InterruptedException {
    try (HttpClient client = access.http().build()) {
      HttpRequest request =
          access
              .authorize(HttpRequest.newBuilder(metrics).timeout(Duration.ofMillis(DEADLINE_MS)))
              .build();
      while (!over) {
        try {
          HttpResponse<String> response = client.send(request, BodyHandlers.ofString());
          OptionalDouble running = number(RUNNING, response.body());
          if (response.statusCode() != 200 || running.isEmpty()) {
            return;
          }
          add(
              new Sample(
                  System.nanoTime(),
                  running.getAsDouble(),
                  number(WAITING, response.body()).orElse(0),
                  List.of(),
                  0,
                  0,
                  false));
        } catch (IOException e) {
          // As above.
        }
        Thread.sleep(STEP_MS);
      }
    }
  }

  private static OptionalDouble number(Pattern pattern, String text) {
    Matcher matcher = pattern.matcher(text);
    return matcher.find()
        ? OptionalDouble.of(Double.parseDouble(matcher.group(1)))
        : OptionalDouble.empty();
  }

  private void add(Sample sample) {
    synchronized (samples) {
      samples.add(sample);
    }
  }

  @Override
  public void close() {
    over = true;
    thread.interrupt();
  }
}
