package io.epidote.cli;

import io.epidote.cli.chaos.FaultSchedule;
import io.epidote.cli.chaos.FaultTarget;
import io.epidote.cli.chaos.HostNetwork;
import io.epidote.cli.chaos.Network;
import io.epidote.cli.chaos.NoNetwork;
import io.epidote.cli.chaos.ProxyNetwork;
import io.epidote.engine.error.EpidoteException.Unavailable;
import io.epidote.proto.v1.Stage;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A router and nodes as processes that can be killed, paused and started again one by one, with a
 * network in between that can be disturbed, where one is wanted.
 */
final class ChaosCluster implements Cluster, FaultTarget {
  /** What is between the members. */
  enum Between {
    /** Nothing: sockets of this machine. */
    NOTHING,
    /** A TCP proxy at every port. */
    PROXIES,
    /** A network between hosts of their own. */
    HOSTS
  }

  /**
   * How it is to be.
   *
   * @param anyPort whether a node that is started again gets other ports
   * @param logs where logs stay; empty: removed at the end
   */
  record Shape(
      ClusterOptions options,
      List<NodeSpec> nodes,
      Between between,
      boolean anyPort,
      Optional<Path> logs,
      long seed) {}

  private record Start(List<String> prefix, List<String> arguments) {}

  private final Shape shape;
  private final Path logs;
  private final Map<String, NodeSpec> specs = new LinkedHashMap<>();
  private final Map<String, Start> starts = new HashMap<>();
  private final Map<String, ChildProcess> nodes = new ConcurrentHashMap<>();
  private final Map<Long, String> members = new ConcurrentHashMap<>();
  private final Set<String> serving = ConcurrentHashMap.newKeySet();
  private final Thread hook = new Thread(this::stop, "stop-chaos");
  private Network network = new NoNetwork();
  private @Nullable ChildProcess router;
  private String grpcAddress = "";
  private String httpAddress = "";
  private String adminAddress = "";
  private boolean stopped;

  private ChaosCluster(Shape shape) {
    this.shape = shape;
    shape.nodes().forEach(spec -> specs.put(spec.name(), spec));
    try {
      this.logs =
          shape.logs().isPresent()
              ? Files.createDirectories(shape.logs().get())
              : Files.createTempDirectory("epidote-");
    } catch (IOException e) {
      throw new UncheckedIOException("A folder for logs cannot be made: " + e.getMessage(), e);
    }
  }

  /** Starts all processes and returns when every node serves and is registered. */
  static ChaosCluster start(Shape shape, Progress progress) {
    ChaosCluster cluster = new ChaosCluster(shape);
    Runtime.getRuntime().addShutdownHook(cluster.hook);
    try {
      cluster.startAll(progress);
      return cluster;
    } catch (RuntimeException e) {
      cluster.close();
      throw e;
    }
  }

  private void startAll(Progress progress) {
    ClusterOptions options = shape.options();
    if (shape.between() != Between.NOTHING) {
      options.node.noUnixSockets = true;
    }
    if (shape.between() == Between.HOSTS) {
      progress.update("making hosts");
      List<String> hosts = new ArrayList<>(List.of(FaultSchedule.ROUTER));
      hosts.addAll(specs.keySet());
      network = HostNetwork.make(hosts, shape.seed());
    }
    progress.update("starting the router");
    List<String> arguments = new ArrayList<>(options.routerArguments());
    if (network instanceof HostNetwork hosts) {
      arguments.addAll(List.of("--host", hosts.address(FaultSchedule.ROUTER)));
    }
    ChildProcess started =
        ChildProcess.start(
            FaultSchedule.ROUTER, logs, prefix(FaultSchedule.ROUTER), List.of(), arguments);
    router = started;
    members.put(started.process().pid(), FaultSchedule.ROUTER);
    String ready = started.awaitReady(ClusterStart.TIMEOUT);
    grpcAddress = word(ready, "grpc");
    httpAddress = word(ready, "http");
    adminAddress = word(ready, "admin");
    if (shape.between() == Between.PROXIES) {
      network = new ProxyNetwork(() -> members, shape.seed());
    }
    specs.values().forEach(spec -> starts.put(spec.name(), plan(spec)));
    specs.keySet().forEach(this::launch);
    progress.update("starting " + (specs.size() + 1) + " processes");
    specs.keySet().forEach(this::awaitServing);
    ClusterStart.awaitNodes(
        grpcAddress, specs.size(), progress, ConnectionOptions.of(options.node.tls));
  }

  private static String word(String ready, String key) {
    Matcher matcher = Pattern.compile("\\b" + key + "=(\\S+)").matcher(ready);
    if (!matcher.find()) {
      throw new Unavailable("The router's ready line has no %s: %s".formatted(key, ready));
    }
    return matcher.group(1);
  }

  private List<String> prefix(String member) {
    return network instanceof HostNetwork hosts ? hosts.on(member) : List.of();
  }

  private Start plan(NodeSpec spec) {
    List<String> place =
        switch (network) {
          case ProxyNetwork proxies -> {
            ProxyNetwork.Place at = proxies.place(spec.name(), grpcAddress);
            yield List.of(
                "--bind",
                at.bind(),
                "--host",
                at.host(),
                "--port",
                Integer.toString(at.port()),
                "--router",
                at.router());
          }
          case HostNetwork hosts ->
              List.of(
                  "--host",
                  hosts.address(spec.name()),
                  "--port",
                  Integer.toString(shape.anyPort() ? 0 : 9000),
                  "--router",
                  grpcAddress);
          default ->
              List.of(
                  "--port",
                  Integer.toString(shape.anyPort() ? 0 : ProxyNetwork.freePorts()),
                  "--router",
                  grpcAddress);
        };
    List<String> arguments =
        new ArrayList<>(
            List.of(
                "node",
                "--name",
                spec.name(),
                "--stages",
                spec.stageWords(),
                "--model",
                shape.options().modelFolder().toString()));
    arguments.addAll(place);
    arguments.addAll(shape.options().node.arguments());
    return new Start(prefix(spec.name()), arguments);
  }

  private synchronized void launch(String node) {
    if (stopped) {
      throw new Unavailable("The cluster is stopping");
    }
    NodeSpec spec = spec(node);
    Start start = starts.get(node);
    List<String> flags =
        spec.stages().equals(Set.of(Stage.STAGE_ENCODE)) ? ChildProcess.ENCODE_HEAP : List.of();
    ChildProcess child =
        ChildProcess.start(
            node,
            logs,
            start == null ? List.of() : start.prefix(),
            flags,
            start == null ? List.of() : start.arguments());
    nodes.put(node, child);
    members.put(child.process().pid(), node);
  }

  private void awaitServing(String node) {
    var unused = child(node).awaitReady(ClusterStart.TIMEOUT);
    serving.add(node);
  }

  private NodeSpec spec(String node) {
    NodeSpec spec = specs.get(node);
    if (spec == null) {
      throw new IllegalArgumentException(node + " is no node of this cluster");
    }
    return spec;
  }

  private ChildProcess child(String node) {
    ChildProcess child = nodes.get(node);
    if (child == null) {
      throw new IllegalArgumentException(node + " was not started");
    }
    return child;
  }

  @Override
  public boolean isUp(String node) {
    return serving.contains(node) && child(node).process().isAlive();
  }

  @Override
  public void kill(String node) throws InterruptedException {
    serving.remove(node);
    child(node).process().destroyForcibly().waitFor();
    gone(node);
  }

  @Override
  public void terminate(String node, Duration within) throws InterruptedException {
    serving.remove(node);
    Process process = child(node).process();
    process.destroy();
    if (!process.waitFor(within.toMillis(), TimeUnit.MILLISECONDS)) {
      process.destroyForcibly().waitFor();
      gone(node);
      throw new Unavailable(
          "%s had not ended %d s after SIGTERM and was killed".formatted(node, within.toSeconds()));
    }
    gone(node);
  }

  private void gone(String node) {
    members.values().remove(node);
  }

  @Override
  public void start(String node) {
    launch(node);
    awaitServing(node);
  }

  @Override
  public void pause(String node) throws InterruptedException {
    signal("-STOP", node);
  }

  @Override
  public void resume(String node) throws InterruptedException {
    signal("-CONT", node);
  }

  private void signal(String signal, String node) throws InterruptedException {
    try {
      String pid = Long.toString(child(node).process().pid());
      if (new ProcessBuilder("kill", signal, pid).start().waitFor() != 0) {
        throw new Unavailable("%s cannot be sent %s; has it ended?".formatted(node, signal));
      }
    } catch (IOException e) {
      throw new Unavailable("The command kill cannot be run: " + e.getMessage(), e);
    }
  }

  @Override
  public Map<String, Long> processes() {
    Map<String, Long> processes = new LinkedHashMap<>();
    members.forEach((pid, member) -> processes.put(member, pid));
    return processes;
  }

  @Override
  public Network network() {
    return network;
  }

  /** Of each node its stages' words. */
  Map<String, List<String>> stagesOf() {
    return stagesOf(shape.nodes());
  }

  static Map<String, List<String>> stagesOf(List<NodeSpec> nodes) {
    Map<String, List<String>> stages = new LinkedHashMap<>();
    nodes.forEach(
        spec -> stages.put(spec.name(), spec.stages().stream().map(NodeSpec::word).toList()));
    return stages;
  }

  @Override
  public String grpcAddress() {
    return grpcAddress;
  }

  @Override
  public String adminAddress() {
    return adminAddress;
  }

  @Override
  public String httpAddress() {
    return httpAddress;
  }

  @Override
  public String startTimes() {
    return "";
  }

  private synchronized void stop() {
    if (stopped) {
      return;
    }
    stopped = true;
    // They are not needed any more, may be paused, and what they hold is looked at before.
    nodes.values().forEach(child -> child.process().destroyForcibly());
    nodes.values().forEach(ChildProcess::close);
    if (router != null) {
      router.close();
    }
    switch (network) {
      case ProxyNetwork proxies -> proxies.close();
      case HostNetwork hosts -> hosts.close();
      default -> {}
    }
    if (shape.logs().isEmpty()) {
      removeLogs();
    }
  }

  private void removeLogs() {
    try (Stream<Path> files = Files.walk(logs)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(file);
      }
    } catch (IOException e) {
      System.err.println(
          "epidote: the logs in " + logs + " could not be removed: " + e.getMessage());
    }
  }

  @Override
  public void close() {
    stop();
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      // The JVM is going down and the hook runs already.
    }
  }
}
