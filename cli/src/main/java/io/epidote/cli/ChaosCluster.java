package io.epidote.cli;

import static java.util.Objects.requireNonNull;

import io.epidote.cli.chaos.FaultKind;
import io.epidote.cli.chaos.FaultSchedule;
import io.epidote.cli.chaos.FaultTarget;
import io.epidote.cli.chaos.HostNetwork;
import io.epidote.cli.chaos.Network;
import io.epidote.cli.chaos.NoNetwork;
import io.epidote.cli.chaos.NodeMachine;
import io.epidote.cli.chaos.ProxyNetwork;
import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.error.EpidoteException.Unavailable;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.SwitchRequest;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
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
   * @param taken of each node, what kinds of faults will be done to its machine
   * @param logs where logs stay; empty: removed at the end
   */
  record Shape(
      ClusterOptions options,
      List<NodeSpec> nodes,
      Between between,
      boolean anyPort,
      Map<String, Set<FaultKind>> taken,
      Optional<Path> logs,
      long seed) {}

  /** Native libraries, and temporary files of a node. */
  private static final long BASE_DISK = 256L << 20;

  /** Weights of several stages, converted. */
  private static final long DISK_PER_MODEL = 8;

  private record Start(List<String> prefix, List<String> arguments) {}

  private final Shape shape;
  private final LogFolder logs;
  private final Map<String, NodeMachine> machines = new HashMap<>();
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
    this.logs = LogFolder.make(shape.logs());
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
    NodeMachine.sweep();
    shape
        .taken()
        .forEach((node, kinds) ->
            machines.put(node, new NodeMachine(node, kinds, diskBytes(options.modelFolder()))));
    progress.update("starting the router");
    List<String> arguments = new ArrayList<>(options.routerArguments());
    if (network instanceof HostNetwork hosts) {
      arguments.addAll(List.of("--host", hosts.address(FaultSchedule.ROUTER)));
    }
    ChildProcess started =
        ChildProcess.start(
            FaultSchedule.ROUTER, logs.path(), prefix(FaultSchedule.ROUTER), List.of(), arguments);
    router = started;
    members.put(started.process().pid(), FaultSchedule.ROUTER);
    Map<String, String> ready = started.awaitWords(ClusterStart.TIMEOUT);
    grpcAddress = ready.getOrDefault("grpc", "");
    httpAddress = ready.getOrDefault("http", "");
    adminAddress = ready.getOrDefault("admin", "");
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

  /** Room for all that a node may keep of a model. */
  private static long diskBytes(Path model) {
    try (Stream<Path> files = Files.walk(model)) {
      long bytes = files.map(Path::toFile).filter(File::isFile).mapToLong(File::length).sum();
      return BASE_DISK + bytes * DISK_PER_MODEL;
    } catch (IOException e) {
      throw new UncheckedIOException(model + " cannot be read: " + e.getMessage(), e);
    }
  }

  private List<String> prefix(String member) {
    NodeMachine machine = machines.get(member);
    List<String> prefix = new ArrayList<>(machine == null ? List.of() : machine.prefix());
    if (network instanceof HostNetwork hosts) {
      prefix.addAll(hosts.on(member));
    }
    return prefix;
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
        new ArrayList<>(
            List.of(
                "-XX:ErrorFile=" + logs.path().resolve(node + "-%p.txt"),
                "-XX:-CreateCoredumpOnCrash"));
    if (spec.stages().equals(Set.of(Stage.STAGE_ENCODE))) {
      flags.addAll(ChildProcess.ENCODE_HEAP);
    }
    NodeMachine machine = machines.get(node);
    if (machine != null) {
      flags.addAll(machine.flags());
    }
    ChildProcess child =
        ChildProcess.start(
            node,
            logs.path(),
            start == null ? List.of() : start.prefix(),
            flags,
            start == null ? List.of() : start.arguments());
    nodes.put(node, child);
    long pid = child.process().pid();
    members.put(pid, node);
    // It may also end without having been told to.
    child.process().onExit().thenRun(() -> members.remove(pid));
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
  public int exitStatus(String node) {
    return child(node).process().exitValue();
  }

  @Override
  public void kill(String node) throws InterruptedException {
    serving.remove(node);
    child(node).process().destroyForcibly().waitFor();
  }

  @Override
  public void terminate(String node, Duration within) throws InterruptedException {
    serving.remove(node);
    Process process = child(node).process();
    process.destroy();
    if (!process.waitFor(within.toMillis(), TimeUnit.MILLISECONDS)) {
      process.destroyForcibly().waitFor();
      throw new Unavailable(
          "%s had not ended %d s after SIGTERM and was killed".formatted(node, within.toSeconds()));
    }
  }

  @Override
  public void start(String node) {
    serving.remove(node);
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
  public String tryOtherRole(String node) {
    List<Stage> own = List.copyOf(spec(node).stages());
    Stage other = own.contains(Stage.STAGE_ENCODE) ? Stage.STAGE_PREFILL : Stage.STAGE_ENCODE;
    SwitchRequest.Builder request = SwitchRequest.newBuilder().setNodeId(node);
    try (InferenceClient client = new InferenceClient(adminAddress)) {
      var unused = client.switchRole(request.clone().addStages(other).build());
      unused = client.switchRole(request.clone().addAllStages(own).build());
      return "it took another role and its own again";
    } catch (EpidoteException e) {
      return "it has no other role (%s)".formatted(e.getMessage());
    }
  }

  @Override
  public NodeMachine machine(String node) {
    return requireNonNull(machines.get(node), "nothing was to be taken from the node");
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
    machines.values().forEach(NodeMachine::close);
    logs.close();
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
