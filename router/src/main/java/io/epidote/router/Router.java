package io.epidote.router;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.discovery.ClusterView;
import io.epidote.node.grpc.ChannelKind;
import io.epidote.node.grpc.GrpcTransport;
import io.epidote.node.metrics.MetricsPage;
import io.epidote.node.metrics.ProcessMetrics;
import io.epidote.node.tls.AddedHandler;
import io.epidote.node.tls.PeerRole;
import io.epidote.node.tls.PeerRules;
import io.epidote.node.tls.Tls;
import io.epidote.node.trace.Tracing;
import io.epidote.proto.kserve.v2.GRPCInferenceServiceGrpc;
import io.epidote.proto.stage.v1.RegistryServiceGrpc;
import io.epidote.proto.v1.AdapterAdminGrpc;
import io.epidote.proto.v1.InferenceGrpc;
import io.epidote.proto.v1.LoadAdapterRequest;
import io.epidote.proto.v1.RoleAdminGrpc;
import io.epidote.router.access.ApiKeys;
import io.epidote.router.access.TenantRates;
import io.epidote.router.adapters.AdapterFolderWatch;
import io.epidote.router.adapters.AdapterGate;
import io.epidote.router.adapters.ClusterAdapters;
import io.epidote.router.auto.RequestClassifier;
import io.epidote.router.cluster.Cluster;
import io.epidote.router.cluster.RegistryEndpoint;
import io.epidote.router.kserve.KServeEndpoint;
import io.epidote.router.media.MediaFetch;
import io.epidote.router.net.NetworkThreads;
import io.epidote.router.observe.AdapterMetrics;
import io.epidote.router.observe.ClusterMetrics;
import io.epidote.router.openai.HttpServer;
import io.epidote.router.openai.OpenAiApi;
import io.epidote.router.openai.WebPaths;
import io.epidote.router.page.StatusPage;
import io.epidote.router.request.Admission;
import io.epidote.router.request.ByteBudget;
import io.epidote.router.request.RequestFlow;
import io.epidote.router.request.RequestWatch;
import io.epidote.router.request.ServedModel;
import io.epidote.router.roles.RoleController;
import io.epidote.router.roles.RoleLabels;
import io.epidote.router.rpc.AdapterAdminEndpoint;
import io.epidote.router.rpc.CallHeaders;
import io.epidote.router.rpc.InferenceEndpoint;
import io.epidote.router.rpc.KeyCheck;
import io.epidote.router.rpc.RoleAdminEndpoint;
import io.grpc.BindableService;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import io.micrometer.core.instrument.Clock;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.netty.handler.ssl.SslContext;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The front door of a cluster. Nodes register at its gRPC port; clients use that port or the HTTP
 * port. It loads no weights.
 */
public final class Router implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(Router.class);

  /** Of a gRPC connection; a client keeps more than these to itself until others have ended. */
  private static final int MAX_CALLS = 2048;

  /** Who may do what by certificate, where there are any. */
  private static final PeerRules PEERS =
      new PeerRules(
          Map.of(
              RegistryServiceGrpc.SERVICE_NAME,
              Set.of(PeerRole.NODE),
              AdapterAdminGrpc.SERVICE_NAME,
              Set.of(PeerRole.ADMIN),
              RoleAdminGrpc.SERVICE_NAME,
              Set.of(PeerRole.ADMIN)));

  /** Services of nodes and administrators, which are known by their certificates, and probes. */
  private static final Set<String> WITHOUT_KEY =
      Set.of(
          RegistryServiceGrpc.SERVICE_NAME,
          AdapterAdminGrpc.SERVICE_NAME,
          RoleAdminGrpc.SERVICE_NAME,
          HealthGrpc.SERVICE_NAME);

  private final RouterConfig config;
  private final ServedModel model;
  private final Optional<Tls> tls;
  private final ApiKeys keys;
  private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
  private final NetworkThreads network = new NetworkThreads();
  private final Tracing tracing;
  private final PrometheusMeterRegistry meters;
  private final Cluster cluster;
  private final HealthStatusManager health = new HealthStatusManager();
  private final RequestFlow flow;
  private final RegistryEndpoint registry;
  private final ClusterAdapters adapters;
  private final RoleController roles;
  private final RoleLabels labels;
  private final Server grpc;
  private final Server admin;
  private final Optional<StatusPage> page;
  private final HttpServer http;
  private final ProcessMetrics process;
  private boolean drained;

  private Router(RouterConfig config, ServedModel model) {
    this.config = config;
    this.model = model;
    keys = new ApiKeys(config.security().keys());
    tls = config.security().tls().map(Tls::open);
    boolean certificates = config.security().certificates();
    RouterConfig.Limits limits = config.limits();
    tracing = Tracing.start(config.tracing(), "router", "router", config.version());
    meters =
        new PrometheusMeterRegistry(
            PrometheusConfig.DEFAULT,
            new PrometheusRegistry(),
            Clock.SYSTEM,
            tracing.exemplars().orElse(null));
    ByteBudget budget = new ByteBudget(limits.maxHeldBytes());
    AdapterGate gate = new AdapterGate();
    cluster = new Cluster(config.placement());
    flow =
        new RequestFlow(
            model,
            cluster,
            new Admission(limits.maxInFlight(), limits.maxQueued(), config.tenants()),
            limits.maxMediaItems(),
            limits.requestTimeout(),
            limits.recoveryWait(),
            config.placement().overlap(),
            config.slo(),
            config.limits().refusesLate(),
            config.classifier().map(RequestClassifier::load),
            new RequestFlow.Tenants(
                new TenantRates(keys::limits, System::nanoTime, System::currentTimeMillis),
                config.security().shareCaches()),
            gate,
            new RequestWatch(tracing, config.requestLog(), model.name()),
            meters,
            threads);
    registry =
        new RegistryEndpoint(
            cluster,
            model.name(),
            model.fingerprint(),
            config.version(),
            limits.nodeSilence(),
            this::toNode);
    adapters = new ClusterAdapters(cluster, registry, config.admin().roots(), gate);
    ClusterView view = config.surroundings().view();
    roles = new RoleController(cluster, config.roles(), config.slo(), threads, view::leads);
    labels = new RoleLabels(cluster, view);
    cluster.onReadiness(this::showHealth);
    process = ProcessMetrics.register(meters, "router", "", model.name(), config.version());
    FunctionCounter.builder("epidote_allocated_bytes", this, _ -> allocatedBytes())
        .description("Heap that this process has allocated since its start")
        .register(meters);
    grpc =
        startGrpc(
            config.host(),
            config.grpcPort(),
            "--grpc-port",
            tls.map(own -> own.openServer(certificates)),
            List.of(
                new InferenceEndpoint(flow, registry, budget),
                new KServeEndpoint(flow, cluster, budget, config.version()),
                registry,
                health.getHealthService()));
    try {
      admin =
          startGrpc(
              config.admin().host(),
              config.admin().port(),
              "--admin-port",
              tls.map(Tls::memberServer),
              List.of(new AdapterAdminEndpoint(adapters), new RoleAdminEndpoint(roles)));
    } catch (EpidoteException e) {
      grpc.shutdownNow();
      network.close();
      throw e;
    }
    page =
        config.page()
            ? Optional.of(
                new StatusPage(cluster, flow, roles, config.version(), limits.maxBodyBytes()))
            : Optional.empty();
    try {
      http =
          HttpServer.start(
              config.host(),
              config.httpPort(),
              limits.maxBodyBytes(),
              budget,
              config.security().http(),
              tls.map(own -> own.httpServer(certificates)),
              new OpenAiApi(
                  flow,
                  cluster,
                  metrics(),
                  keys,
                  new MediaFetch(config.security().media()),
                  limits.maxBodyBytes(),
                  threads,
                  page.<WebPaths>map(each -> each).orElse(WebPaths.NONE)),
              meters,
              network);
    } catch (EpidoteException e) {
      page.ifPresent(StatusPage::close);
      grpc.shutdownNow();
      admin.shutdownNow();
      flow.close();
      network.close();
      throw e;
    }
    config.surroundings().tell(cluster);
    adapters.start(config.admin().folder().map(this::watching).orElse(() -> {}));
  }

  private ManagedChannel toNode(String address) {
    return network
        .carry(GrpcTransport.channel(address, ChannelKind.CONTROL, tls.map(Tls::memberClient)))
        .executor(threads)
        .build();
  }

  /** What Prometheus reads. */
  private MetricsPage metrics() {
    ClusterMetrics.register(cluster, roles, model.name(), meters);
    MetricsPage page = new MetricsPage(meters);
    page.before(new AdapterMetrics(cluster, flow, meters)::update);
    return page;
  }

  private Runnable watching(Path folder) {
    AdapterFolderWatch watch =
        new AdapterFolderWatch(
            folder,
            new AdapterFolderWatch.Changes() {
              @Override
              public void load(String name, Path adapter) {
                var unused =
                    adapters.load(
                        LoadAdapterRequest.newBuilder()
                            .setName(name)
                            .setFolder(adapter.toString())
                            .setReplace(true)
                            .build());
              }

              @Override
              public void unload(String name) {
                adapters.unload(name);
              }
            });
    return () -> watch.scan(System.nanoTime());
  }

  /**
   * Reads the model folder (tokenizer, template, preprocessor, config) and listens.
   *
   * @throws EpidoteException.BadCheckpoint when the folder is not a model
   * @throws EpidoteException.Unavailable when a port is in use; names the port and the flag
   */
  public static Router start(RouterConfig config) {
    return start(config, FolderModel.open(config.model(), config.cache()));
  }

  static Router start(RouterConfig config, ServedModel model) {
    Router router = new Router(config, model);
    log.info(
        "Router of {} listens: HTTP on port {}, gRPC on port {}, adapters on port {}",
        model.name(),
        router.httpPort(),
        router.grpcPort(),
        router.adminPort());
    return router;
  }

  public int httpPort() {
    return http.port();
  }

  public int grpcPort() {
    return grpc.getPort();
  }

  /** Where adapters are loaded and unloaded. */
  public int adminPort() {
    return admin.getPort();
  }

  private static double allocatedBytes() {
    return ManagementFactory.getThreadMXBean() instanceof com.sun.management.ThreadMXBean threads
        ? threads.getTotalThreadAllocatedBytes()
        : Double.NaN;
  }

  /** Whether every stage has a node. */
  public boolean ready() {
    return cluster.ready();
  }

  /**
   * Admits nothing more, lets what runs finish for a while, and cancels the rest. Nodes stay until
   * they leave, and whoever calls this again waits for it.
   */
  public synchronized void drain() {
    if (drained) {
      return;
    }
    drained = true;
    health.enterTerminalState();
    roles.close();
    labels.close();
    page.ifPresent(StatusPage::close);
    adapters.close();
    admin.shutdownNow();
    try {
      flow.drain(config.limits().drain());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** Drains, cancels what still runs, and stops. */
  @Override
  public void close() {
    drain();
    flow.close();
    registry.close();
    http.close();
    grpc.shutdown();
    try {
      if (!grpc.awaitTermination(1, TimeUnit.SECONDS)) {
        grpc.shutdownNow().awaitTermination(1, TimeUnit.SECONDS);
      }
    } catch (InterruptedException e) {
      grpc.shutdownNow();
      Thread.currentThread().interrupt();
    }
    network.close();
    threads.shutdownNow();
    tls.ifPresent(Tls::close);
    keys.close();
    process.close();
    tracing.close();
    if (model instanceof AutoCloseable closeable) {
      close(closeable);
    }
  }

  private static void close(AutoCloseable model) {
    try {
      model.close();
    } catch (Exception e) {
      log.warn("The model did not close", e);
    }
  }

  private void showHealth(boolean ready) {
    ServingStatus status = ready ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
    health.setStatus(HealthStatusManager.SERVICE_NAME_ALL_SERVICES, status);
    health.setStatus(InferenceGrpc.SERVICE_NAME, status);
    health.setStatus(GRPCInferenceServiceGrpc.SERVICE_NAME, status);
  }

  private Server startGrpc(
      String host,
      int port,
      String option,
      Optional<SslContext> secured,
      List<BindableService> services) {
    try {
      NettyServerBuilder builder =
          network
              .carry(GrpcTransport.server(new InetSocketAddress(host, port)))
              .executor(threads)
              .maxConcurrentCallsPerConnection(MAX_CALLS)
              .protocolNegotiator(AddedHandler.server(secured));
      builder.intercept(new KeyCheck(keys, WITHOUT_KEY)).intercept(new CallHeaders());
      if (secured.isPresent()) {
        PEERS.apply(builder);
      }
      services.forEach(builder::addService);
      tracing.forClients().forEach(builder::intercept);
      return builder.addService(ProtoReflectionServiceV1.newInstance()).build().start();
    } catch (IOException e) {
      Throwable root = e;
      while (root.getCause() != null) {
        root = root.getCause();
      }
      flow.close();
      throw new EpidoteException.Unavailable(
          "Cannot listen for gRPC on %s port %d: %s. Stop the process that has the port, or choose another with %s (0 picks a free one)."
              .formatted(host, port, root.getMessage(), option),
          e);
    }
  }
}
