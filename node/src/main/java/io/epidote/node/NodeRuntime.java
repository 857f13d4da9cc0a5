package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.engine.EngineLoop;
import io.epidote.node.grpc.ChannelPool;
import io.epidote.node.grpc.GrpcTransport;
import io.epidote.node.lease.LeaseTable;
import io.epidote.node.registry.RegistrationClient;
import io.epidote.node.tls.Tls;
import io.epidote.node.trace.Tracing;
import io.epidote.node.transfer.BulkTransport;
import io.epidote.node.transfer.TransferClient;
import io.epidote.node.transfer.TransferServer;
import io.epidote.node.transfer.UnixServer;
import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.v1.NodeStatus;
import io.grpc.Server;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import io.micrometer.core.instrument.MeterRegistry;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One stage process: server, engine thread, leases, transfers and registration around any
 * combination of stages. Made in two moves, because stages need the context and the server needs
 * the stages:
 *
 * <pre>{@code
 * NodeRuntime node = new NodeRuntime(config, meters);
 * node.start(List.of(new EncodeStage(node.context(), ...)), List.of(encoder));
 * }</pre>
 */
public final class NodeRuntime implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(NodeRuntime.class);
  private static final Duration TICK = Duration.ofMillis(500);

  /** Reading where memory is takes milliseconds, more the more there is of it. */
  private static final Duration MEMORY_TICK = Duration.ofSeconds(2);

  /** How long a router may take to hear that the node stops. */
  private static final Duration TELL = Duration.ofMillis(500);

  /** How long what is being pulled may go on at the most when the time to drain is over. */
  private static final Duration LAST_PULLS = Duration.ofSeconds(1);

  /** Health of this name says whether requests come here; that of no name is the process's own. */
  private static final String READY = "ready";

  private static final AdapterSource NO_ADAPTERS =
      new AdapterSource(new AdapterRoots(List.of()), Map.of());

  private final NodeConfig config;
  private final Optional<Tls> tls;
  private final BulkTransport bulk;
  private final ChannelPool channels;
  private final long epoch = ThreadLocalRandom.current().nextLong();
  private final ScheduledThreadPoolExecutor timer;
  private final EngineLoop loop;
  private final LeaseTable leases;
  private final NodeContext context;
  private final NodeState state;
  private final Registrations routers = new Registrations();
  private final HealthStatusManager health = new HealthStatusManager();
  private final MeterRegistry meters;
  private final Tracing tracing;
  private @Nullable Server server;
  private @Nullable Server bulkServer;
  private Optional<UnixServer> unixServer = Optional.empty();
  private @Nullable Parts parts;
  private Role first;
  private volatile String address = "";
  private volatile int bulkPort;
  private boolean closed;

  /** What there is once the first role is known. */
  private record Parts(
      Roles roles, NodeReports reports, Watchdog watchdog, Optional<RoleSwitch> switches) {}

  /** A node that is not traced. */
  public NodeRuntime(NodeConfig config, MeterRegistry meters) {
    this(config, meters, Tracing.OFF);
  }

  /**
   * @param tracing of the stages' calls; closed with the node
   */
  public NodeRuntime(NodeConfig config, MeterRegistry meters, Tracing tracing) {
    this.tracing = requireNonNull(tracing, "tracing is null");
    this.config = requireNonNull(config, "config is null");
    this.meters = requireNonNull(meters, "meters is null");
    this.tls = config.tls().map(Tls::open);
    this.bulk = new BulkTransport(tls);
    this.channels = new ChannelPool(bulk::channel, tls.map(Tls::memberClient));
    NodeConfig.Limits limits = config.limits();
    this.timer =
        new ScheduledThreadPoolExecutor(
            1, Thread.ofPlatform().daemon().name("epidote-timer-" + config.nodeId()).factory());
    timer.setRemoveOnCancelPolicy(true);
    this.loop = new EngineLoop("epidote-engine-" + config.nodeId(), limits.admissions());
    this.state = new NodeState(loop);
    this.leases =
        new LeaseTable(
            config.nodeId(),
            () -> address,
            () -> bulkPort,
            epoch,
            limits.lease(),
            System::nanoTime,
            loop);
    this.context =
        new NodeContext(
            config.nodeId(),
            loop,
            leases,
            new TransferClient(
                channels, timer, limits.stall(), limits.lease().dividedBy(3), config.transfer()),
            new StageMeters(meters),
            limits,
            config.sharing(),
            new Gate());
    this.first = Role.none(context);
  }

  /** For the stages of the first role. */
  public NodeContext context() {
    return context;
  }

  /**
   * Listens, registers with the routers and starts to work with a role that never changes.
   *
   * @param stages in the order of their turns: decode, prefill, encode keeps tokens flowing
   * @param models closed by {@link #close}, after the engine thread has ended
   * @throws EpidoteException.Unavailable when the port cannot be had; the node is closed then, and
   *     its models with it
   */
  public void start(List<Stage> stages, List<? extends AutoCloseable> models) {
    start(new Role(context, stages, models, Optional.empty()), Optional.empty(), NO_ADAPTERS);
  }

  /**
   * The adapters of a node.
   *
   * @param roots of folders that they may be loaded from by whoever reaches the node
   * @param folders of those that the first role has, by name
   */
  public record AdapterSource(AdapterRoots roots, Map<String, Path> folders) {
    public AdapterSource {
      folders = Map.copyOf(folders);
    }
  }

  /**
   * The same with a role that may be exchanged for others while the node runs.
   *
   * @param first made with {@link #context}
   * @param factory of other roles; empty: there are none
   */
  public void start(Role first, Optional<RoleFactory> factory, AdapterSource adapters) {
    this.first = first;
    AdapterFolders folders = new AdapterFolders(adapters.folders());
    Roles[] late = new Roles[1];
    StageServices services = new StageServices(() -> late[0].refusal());
    Roles roles = new Roles(context, adapters.roots(), folders, meters, services, state);
    late[0] = roles;
    NodeReports reports = new NodeReports(loop, state, roles::report, timer);
    Watchdog watchdog = new Watchdog(loop, state, services, routers, config.limits().watchdog());
    Optional<RoleSwitch> switches =
        factory.map(
            of -> new RoleSwitch(context, roles, of, folders, state, reports, routers, meters));
    EngineLoop.Steps steps = roles.begin(first);
    roles.bind();
    listen(services, switches);
    parts = new Parts(roles, reports, watchdog, switches);
    loop.start(steps, this::checkIntegrity);
    new NodeMeters(meters, reports, state).register(loop, leases, routers);
    timer.scheduleWithFixedDelay(this::tick, 0, TICK.toMillis(), TimeUnit.MILLISECONDS);
    timer.scheduleWithFixedDelay(
        reports::measureMemory, 0, MEMORY_TICK.toMillis(), TimeUnit.MILLISECONDS);
    timer.scheduleWithFixedDelay(leases::expire, leaseTick(), leaseTick(), TimeUnit.MILLISECONDS);
    NodeHello hello =
        NodeHello.newBuilder()
            .setModel(config.model())
            .setFingerprint(config.fingerprint())
            .setVersion(config.version())
            .build();
    routers.follow(
        config.view(),
        config.routers(),
        router -> new RegistrationClient(router, channels, timer, hello, reports::load));
  }

  private void listen(StageServices services, Optional<RoleSwitch> switches) {
    try {
      InetSocketAddress bind = new InetSocketAddress(config.bindHost(), config.port());
      NettyServerBuilder builder = bulk.prepare(GrpcTransport.server(bind));
      TransferServer transfers = new TransferServer(leases, bulk);
      builder.addService(transfers);
      builder.addService(health.getHealthService());
      builder.addService(ProtoReflectionServiceV1.newInstance());
      switches.ifPresent(each -> builder.addService(new NodeControlEndpoint(each)));
      builder.fallbackHandlerRegistry(services);
      if (tls.isPresent()) {
        NodePeers.RULES.apply(builder);
      }
      tracing.forStages().forEach(builder::intercept);
      Server started = GrpcTransport.start(builder, bind);
      server = started;
      address = config.advertisedHost() + ":" + started.getPort();
      InetSocketAddress bulkBind =
          new InetSocketAddress(config.bindHost(), config.port() == 0 ? 0 : config.port() + 1);
      NettyServerBuilder pulls = bulk.server(bulkBind).addService(transfers);
      if (tls.isPresent()) {
        NodePeers.RULES.apply(pulls);
      }
      Server pulled = GrpcTransport.start(pulls, bulkBind);
      bulkServer = pulled;
      bulkPort = pulled.getPort();
      if (config.transfer().unixSockets()) {
        unixServer = UnixServer.tryStart(bulk, transfers, address, epoch);
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private long leaseTick() {
    return Math.clamp(config.limits().lease().toMillis() / 10, 10, 1000);
  }

  /** {@code host:port} under which this node answers; empty before {@link #start}. */
  public String address() {
    return address;
  }

  public int port() {
    return server == null ? 0 : server.getPort();
  }

  /** Whether every router that is known has welcomed this node. */
  public boolean isRegistered() {
    return routers.areRegistered();
  }

  private Parts parts() {
    return requireNonNull(parts, "the node was not started");
  }

  /** The node's load, taken on the engine thread after what was handed over before. */
  public CompletableFuture<NodeStatus> status() {
    return parts().reports().status();
  }

  /** What makes this node unhealthy, or null: an error of the engine thread, or lost blocks. */
  public @Nullable String fault() {
    return state.fault();
  }

  /**
   * Returns when an error ({@link Error}: memory is gone, say) has ended a step of the engine
   * thread, with what it was. The node takes nothing new then; what it holds may be wrong, so that
   * its process should end.
   */
  public String awaitFault() throws InterruptedException {
    return loop.awaitFault();
  }

  private void tick() {
    parts().watchdog().look(TICK);
    parts().reports().tick();
    show(HealthStatusManager.SERVICE_NAME_ALL_SERVICES, isHealthy());
    show(READY, isReady());
  }

  /** Whether the process is in order, whatever others do. */
  public boolean isHealthy() {
    return fault() == null;
  }

  /** Whether requests come here: it is registered, and neither drains nor is at fault. */
  public boolean isReady() {
    return isHealthy() && !state.isDraining() && routers.isRegistered();
  }

  private void show(String service, boolean serving) {
    health.setStatus(service, serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING);
  }

  /** On the engine thread, when it has run out of work. */
  private void checkIntegrity() {
    String found = parts().roles().report().discrepancy(loop::isDrained);
    if (state.checked(found)) {
      log.error("Blocks are out of account: {}", found);
    }
  }

  /**
   * Tells routers that the node takes no requests any more, hands over those that wait, lets
   * running ones end within the bound, ends the others, leaves the cluster, and frees everything.
   * Safe to repeat.
   */
  @Override
  public void close() {
    synchronized (this) {
      if (closed) {
        return;
      }
      closed = true;
    }
    Parts running = parts;
    if (running != null) {
      drain(running);
    }
    routers.close();
    health.enterTerminalState();
    stopServers();
    // Ends the pulls that are under way; what they hold is freed when they have.
    channels.close();
    if (running != null) {
      new Drain(loop, leases, running.roles()::report)
          .awaitIdle(Duration.ofSeconds(2), () -> false);
    }
    bulk.close();
    tls.ifPresent(Tls::close);
    boolean ended = loop.close(Duration.ofSeconds(state.stuck() == null ? 10 : 1));
    timer.shutdownNow();
    tracing.close();
    if (!ended) {
      log.error("The engine thread is still in a step; its models are left open");
    } else {
      Role last = running == null ? first : running.roles().role();
      last.closeModels();
    }
  }

  private void drain(Parts running) {
    String why = "The node stops.";
    state.draining(true);
    running.roles().role().node().gate().close(why);
    // While calls go on, so that routers know of it before any of them ends.
    routers.reportNow(TELL);
    running.switches().ifPresent(each -> each.stop(config.limits().drain()));
    running.roles().role().node().gate().close(why);
    Drain requests = new Drain(loop, leases, running.roles()::report);
    requests.end(Stage.Scope.WAITING, why);
    if (!requests.awaitIdle(config.limits().drain(), () -> state.stuck() != null)) {
      Duration drain = config.limits().drain();
      Duration last = drain.compareTo(LAST_PULLS) < 0 ? drain : LAST_PULLS;
      requests.endAll(why, last, last);
    }
  }

  private void stopServers() {
    Server running = server;
    if (running != null) {
      // Lets errors leave before connections are cut.
      running.shutdown();
      await(running, Duration.ofMillis(200));
      running.shutdownNow();
      await(running, Duration.ofSeconds(2));
    }
    Server pulled = bulkServer;
    if (pulled != null) {
      pulled.shutdownNow();
      await(pulled, Duration.ofSeconds(2));
    }
    unixServer.ifPresent(UnixServer::close);
  }

  private static void await(Server server, Duration bound) {
    try {
      server.awaitTermination(bound.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
