package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.model.Adapters;
import io.epidote.engine.model.Decoder;
import io.epidote.node.engine.EngineLoop;
import io.epidote.node.grpc.ChannelPool;
import io.epidote.node.grpc.GrpcTransport;
import io.epidote.node.lease.LeaseTable;
import io.epidote.node.memory.MemoryAccount;
import io.epidote.node.registry.RegistrationClient;
import io.epidote.node.transfer.BulkTransport;
import io.epidote.node.transfer.TransferClient;
import io.epidote.node.transfer.TransferServer;
import io.epidote.node.transfer.UnixServer;
import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.v1.MemoryUse;
import io.epidote.proto.v1.NodeStatus;
import io.grpc.BindableService;
import io.grpc.Server;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
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

  private final NodeConfig config;
  private final BulkTransport bulk = new BulkTransport();
  private final ChannelPool channels = new ChannelPool(bulk::channel);
  private final long epoch = ThreadLocalRandom.current().nextLong();
  private final ScheduledThreadPoolExecutor timer;
  private final EngineLoop loop;
  private final LeaseTable leases;
  private final NodeContext context;
  private final HealthStatusManager health = new HealthStatusManager();
  private final List<RegistrationClient> registrations = new ArrayList<>();
  private final MeterRegistry meters;
  private @Nullable Server server;
  private @Nullable Server bulkServer;
  private Optional<UnixServer> unixServer = Optional.empty();
  private @Nullable StatusReport report;
  private List<AutoCloseable> models = List.of();
  private volatile String address = "";
  private volatile int bulkPort;
  private volatile NodeStatus latest = NodeStatus.getDefaultInstance();
  private volatile List<MemoryUse> memory = List.of();
  private volatile @Nullable String discrepancy;
  private boolean closed;

  public NodeRuntime(NodeConfig config, MeterRegistry meters) {
    this.config = requireNonNull(config, "config is null");
    this.meters = requireNonNull(meters, "meters is null");
    NodeConfig.Limits limits = config.limits();
    this.timer =
        new ScheduledThreadPoolExecutor(
            1, Thread.ofPlatform().daemon().name("epidote-timer-" + config.nodeId()).factory());
    timer.setRemoveOnCancelPolicy(true);
    this.loop = new EngineLoop("epidote-engine-" + config.nodeId(), limits.admissions());
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
            config.sharing());
  }

  public NodeContext context() {
    return context;
  }

  /**
   * Listens, registers with the routers and starts to work.
   *
   * @param stages in the order of their turns: decode, prefill, encode keeps tokens flowing
   * @param models closed by {@link #close}, after the engine thread has ended
   * @throws EpidoteException.Unavailable when the port cannot be had; the node is closed then, and
   *     its models with it
   */
  public void start(List<Stage> stages, List<? extends AutoCloseable> models) {
    start(stages, models, Optional.empty(), new AdapterRoots(List.of()));
  }

  /**
   * The same with adapters, which can be loaded and unloaded from then on.
   *
   * @param adapters of the decoder among the models
   * @param roots of folders that adapters may be loaded from by whoever reaches the node
   */
  public void start(
      List<Stage> stages,
      List<? extends AutoCloseable> models,
      Optional<Adapters> adapters,
      AdapterRoots roots) {
    this.models = List.copyOf(models);
    try {
      InetSocketAddress bind = new InetSocketAddress(config.bindHost(), config.port());
      NettyServerBuilder builder = bulk.prepare(GrpcTransport.server(bind));
      TransferServer transfers = new TransferServer(leases, bulk);
      builder.addService(transfers);
      builder.addService(health.getHealthService());
      builder.addService(ProtoReflectionServiceV1.newInstance());
      adapters.ifPresent(
          all -> builder.addService(new AdapterEndpoint(config.nodeId(), all, roots)));
      stages.stream()
          .map(Stage::services)
          .flatMap(List<BindableService>::stream)
          .forEach(builder::addService);
      Server started = GrpcTransport.start(builder, bind);
      server = started;
      address = config.advertisedHost() + ":" + started.getPort();
      InetSocketAddress bulkBind =
          new InetSocketAddress(config.bindHost(), config.port() == 0 ? 0 : config.port() + 1);
      Server pulled = GrpcTransport.start(bulk.server(bulkBind).addService(transfers), bulkBind);
      bulkServer = pulled;
      bulkPort = pulled.getPort();
      if (config.transfer().unixSockets()) {
        unixServer = UnixServer.tryStart(bulk, transfers, address, epoch);
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
    Optional<ExpertMeters> experts =
        models.stream()
            .filter(Decoder.class::isInstance)
            .flatMap(model -> ((Decoder) model).expertLoad().stream())
            .map(load -> new ExpertMeters(load, meters))
            .findFirst();
    StatusReport reporter =
        new StatusReport(config.nodeId(), address, stages, leases, adapters, experts);
    report = reporter;
    adapters.ifPresent(all -> {
      AdapterMeters.register(all.tiers(), meters);
      // Wakes the stages: one of them may have waited for what is read in now.
      all.tiers().onChange(() -> loop.execute(() -> {}));
    });
    loop.start(
        stages.stream().map(stage -> (BooleanSupplier) stage::runStep).toList(),
        this::checkIntegrity);
    registerMeters();
    timer.scheduleWithFixedDelay(this::tick, 0, TICK.toMillis(), TimeUnit.MILLISECONDS);
    timer.scheduleWithFixedDelay(
        this::measureMemory, 0, MEMORY_TICK.toMillis(), TimeUnit.MILLISECONDS);
    timer.scheduleWithFixedDelay(leases::expire, leaseTick(), leaseTick(), TimeUnit.MILLISECONDS);
    NodeHello hello =
        NodeHello.newBuilder()
            .setModel(config.model())
            .setFingerprint(config.fingerprint())
            .setVersion(config.version())
            .build();
    for (String router : config.routers()) {
      RegistrationClient registration =
          new RegistrationClient(router, channels, timer, hello, this::load);
      registrations.add(registration);
      registration.start();
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

  /** Whether every router has welcomed this node. */
  public boolean isRegistered() {
    return registrations.stream().allMatch(RegistrationClient::isRegistered);
  }

  /** The node's load, taken on the engine thread after what was handed over before. */
  public CompletableFuture<NodeStatus> status() {
    return onEngine(reporter -> reporter.take(memory));
  }

  /** The same as a router is told it. */
  private CompletableFuture<NodeLoad> load() {
    return onEngine(reporter -> reporter.load(memory));
  }

  private <T> CompletableFuture<T> onEngine(Function<StatusReport, T> asked) {
    CompletableFuture<T> future = new CompletableFuture<>();
    StatusReport reporter = requireNonNull(report, "the node was not started");
    loop.execute(() -> {
      try {
        future.complete(asked.apply(reporter));
      } catch (RuntimeException e) {
        future.completeExceptionally(e);
      }
    });
    return future;
  }

  /** What makes this node unhealthy, or null: an error of the engine thread, or lost blocks. */
  public @Nullable String fault() {
    return loop.fault() != null ? loop.fault() : discrepancy;
  }

  private void tick() {
    status().thenAccept(status -> latest = status);
    health.setStatus(
        HealthStatusManager.SERVICE_NAME_ALL_SERVICES,
        fault() == null ? ServingStatus.SERVING : ServingStatus.NOT_SERVING);
  }

  /** What there is to measure is asked of the engine thread; it is measured beside it. */
  private void measureMemory() {
    StatusReport reporter = requireNonNull(report, "the node was not started");
    CompletableFuture<MemoryAccount.Holdings> holdings = new CompletableFuture<>();
    loop.execute(() -> holdings.complete(reporter.holdings()));
    holdings.thenAcceptAsync(held -> memory = MemoryAccount.measure(held), timer);
  }

  /** On the engine thread, when it has run out of work. */
  private void checkIntegrity() {
    String found = requireNonNull(report).discrepancy(loop::isDrained);
    if (found != null && !found.equals(discrepancy)) {
      log.error("Blocks are out of account: {}", found);
    }
    discrepancy = found;
  }

  private void registerMeters() {
    gauge("epidote.kv.blocks.used", NodeStatus::getKvBlocksUsed);
    gauge("epidote.kv.blocks.cached", NodeStatus::getKvBlocksCached);
    gauge("epidote.kv.blocks.total", NodeStatus::getKvBlocksTotal);
    gauge("epidote.swap.blocks.used", NodeStatus::getSwapBlocksUsed);
    gauge("epidote.swap.blocks.total", NodeStatus::getSwapBlocksTotal);
    gauge("epidote.media.blocks.used", NodeStatus::getMediaBlocksUsed);
    gauge("epidote.media.blocks.total", NodeStatus::getMediaBlocksTotal);
    gauge("epidote.media.blocks.cached", NodeStatus::getMediaBlocksCached);
    gauge(
        "epidote.media.cache.bytes",
        status -> (double) status.getMediaBlocksCached() * status.getMediaBlockBytes());
    gauge("epidote.handles", NodeStatus::getHandles);
    gauge("epidote.requests.running", NodeStatus::getRunning);
    gauge("epidote.requests.queued", NodeStatus::getQueued);
    gauge("epidote.requests.awaiting", NodeStatus::getAwaiting);
    gauge("epidote.resident.bytes", NodeStatus::getResidentBytes);
    Gauge.builder("epidote.engine.defects", loop, EngineLoop::defects).register(meters);
    Gauge.builder("epidote.integrity.faults", this, node -> node.discrepancy == null ? 0 : 1)
        .description("1 while blocks are in use that no request or lease accounts for")
        .register(meters);
  }

  private void gauge(String name, ToDoubleFunction<NodeStatus> value) {
    Gauge.builder(name, this, node -> value.applyAsDouble(node.latest)).register(meters);
  }

  /**
   * Leaves the cluster, lets running requests end within the bound, ends the others, and frees
   * everything. Safe to repeat.
   */
  @Override
  public void close() {
    synchronized (this) {
      if (closed) {
        return;
      }
      closed = true;
    }
    registrations.forEach(RegistrationClient::close);
    health.enterTerminalState();
    Server running = server;
    StatusReport reporter = report;
    if (running != null && reporter != null) {
      running.shutdown();
      awaitIdle(reporter, config.limits().drain());
      loop.execute(() -> reporter.abortAll(new EpidoteException.Unavailable("The node stops.")));
      // Lets the errors leave before the connections are cut.
      askIdle(reporter);
    }
    if (running != null) {
      running.shutdownNow();
      await(running);
    }
    Server pulled = bulkServer;
    if (pulled != null) {
      pulled.shutdownNow();
      await(pulled);
    }
    unixServer.ifPresent(UnixServer::close);
    // Ends the pulls that are under way; what they hold is freed when they have.
    channels.close();
    if (reporter != null) {
      awaitIdle(reporter, Duration.ofSeconds(2));
    }
    bulk.close();
    boolean ended = loop.close(Duration.ofSeconds(10));
    timer.shutdownNow();
    if (!ended) {
      log.error("The engine thread is still in a step; its models are left open");
      return;
    }
    for (AutoCloseable model : models) {
      try {
        model.close();
      } catch (Exception e) {
        log.warn("A model could not be closed", e);
      }
    }
  }

  private void awaitIdle(StatusReport reporter, Duration bound) {
    long deadline = System.nanoTime() + bound.toNanos();
    while (System.nanoTime() < deadline && !askIdle(reporter)) {
      LockSupport.parkNanos(Duration.ofMillis(20).toNanos());
    }
  }

  private boolean askIdle(StatusReport reporter) {
    CompletableFuture<Boolean> idle = new CompletableFuture<>();
    loop.execute(() -> idle.complete(reporter.isIdle()));
    try {
      return idle.get(2, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return true;
    } catch (ExecutionException | TimeoutException e) {
      return false;
    }
  }

  private static void await(Server server) {
    try {
      server.awaitTermination(2, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
