package io.epidote.router;

import static java.util.Objects.requireNonNull;

import io.epidote.node.AdapterRoots;
import io.epidote.node.discovery.ClusterView;
import io.epidote.node.discovery.StaticView;
import io.epidote.node.engine.TenantWeights;
import io.epidote.node.trace.Tracing;
import io.epidote.router.access.Security;
import io.epidote.router.cluster.Cluster;
import io.epidote.router.cluster.PlacementRules;
import io.epidote.router.request.RequestWatch;
import io.epidote.router.request.Slo;
import io.epidote.router.roles.RoleRules;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * What a router is started with; made by {@link #of}.
 *
 * @param model folder of the model that the cluster serves
 * @param cache folder that remembers digests of weights
 * @param host to listen on
 * @param httpPort 0 for any
 * @param grpcPort 0 for any
 * @param version of Epidote; nodes of another one are refused
 * @param placement what placement may do
 * @param slo of requests that say none
 * @param classifier file that chooses adapters for requests to MODEL:auto; empty for none
 * @param tenants what each tenant gets of the places for requests
 * @param admin where adapters and roles are administrated, and from which folders adapters come
 * @param roles how it changes the roles of nodes
 * @param surroundings how it learns what is known of the cluster from outside
 * @param page whether it has a page at {@code /} and what the page shows as JSON
 * @param security whom it lets in, and what it fetches for them
 * @param tracing where traces of requests go
 * @param requestLog what is logged of requests
 */
public record RouterConfig(
    Path model,
    Path cache,
    String host,
    int httpPort,
    int grpcPort,
    String version,
    PlacementRules placement,
    Slo slo,
    Limits limits,
    Optional<Path> classifier,
    TenantWeights tenants,
    Admin admin,
    RoleRules roles,
    Surroundings surroundings,
    boolean page,
    Security security,
    Tracing.Options tracing,
    RequestWatch.LogRules requestLog) {
  public RouterConfig {
    requireNonNull(model, "model is null");
    requireNonNull(cache, "cache is null");
    requireNonNull(host, "host is null");
    requireNonNull(version, "version is null");
    requireNonNull(placement, "placement is null");
    requireNonNull(slo, "slo is null");
    requireNonNull(limits, "limits is null");
    requireNonNull(classifier, "classifier is null");
    requireNonNull(tenants, "tenants is null");
    requireNonNull(admin, "admin is null");
    requireNonNull(roles, "roles is null");
    requireNonNull(surroundings, "surroundings is null");
    requireNonNull(security, "security is null");
    requireNonNull(tracing, "tracing is null");
    requireNonNull(requestLog, "requestLog is null");
  }

  /**
   * A router of a model with what is usual.
   *
   * @param model folder of the model that the cluster serves
   * @param cache folder that remembers digests of weights
   * @param version of Epidote; nodes of another one are refused
   */
  public static Builder of(Path model, Path cache, String version) {
    return new Builder(model, cache, version);
  }

  /** What is unusual about a router. */
  public static final class Builder {
    private final Path model;
    private final Path cache;
    private final String version;
    private String host = "127.0.0.1";
    private int httpPort;
    private int grpcPort;
    private PlacementRules placement = PlacementRules.FREE;
    private Slo slo = Slo.NONE;
    private Limits limits = Limits.DEFAULT;
    private Optional<Path> classifier = Optional.empty();
    private TenantWeights tenants = TenantWeights.EQUAL;
    private Admin admin;
    private RoleRules roles = RoleRules.MANUAL;
    private Surroundings surroundings = Surroundings.NONE;
    private boolean page = true;
    private Security security = Security.OPEN;
    private Tracing.Options tracing = Tracing.Options.NONE;
    private RequestWatch.LogRules requestLog = RequestWatch.LogRules.NONE;

    private Builder(Path model, Path cache, String version) {
      this.model = model;
      this.cache = cache;
      this.version = version;
      admin = Admin.local(model);
    }

    /** Listens there; without this, on this machine at any ports. */
    public Builder listen(String address, int http, int grpc) {
      host = address;
      httpPort = http;
      grpcPort = grpc;
      return this;
    }

    public Builder placement(PlacementRules rules) {
      placement = rules;
      return this;
    }

    public Builder slo(Slo targets) {
      slo = targets;
      return this;
    }

    public Builder limits(Limits bounds) {
      limits = bounds;
      return this;
    }

    public Builder classifier(Optional<Path> file) {
      classifier = file;
      return this;
    }

    public Builder tenants(TenantWeights weights) {
      tenants = weights;
      return this;
    }

    public Builder admin(Admin where) {
      admin = where;
      return this;
    }

    public Builder roles(RoleRules rules) {
      roles = rules;
      return this;
    }

    public Builder surroundings(Surroundings known) {
      surroundings = known;
      return this;
    }

    /** Whether it has a page; it has, without this. */
    public Builder page(boolean shown) {
      page = shown;
      return this;
    }

    public Builder security(Security rules) {
      security = rules;
      return this;
    }

    public Builder tracing(Tracing.Options options) {
      tracing = options;
      return this;
    }

    public Builder requestLog(RequestWatch.LogRules rules) {
      requestLog = rules;
      return this;
    }

    public RouterConfig build() {
      return new RouterConfig(
          model,
          cache,
          host,
          httpPort,
          grpcPort,
          version,
          placement,
          slo,
          limits,
          classifier,
          tenants,
          admin,
          roles,
          surroundings,
          page,
          security,
          tracing,
          requestLog);
    }
  }

  /**
   * What is known of the cluster from outside.
   *
   * @param view whoever started the router closes it
   * @param nodes the services that nodes are behind; empty: nothing is known of them
   * @param routers the service that all routers are behind; empty: this one is alone
   */
  public record Surroundings(ClusterView view, List<String> nodes, Optional<String> routers) {
    /** Nothing is known. */
    public static final Surroundings NONE =
        new Surroundings(new StaticView(), List.of(), Optional.empty());

    public Surroundings {
      requireNonNull(view, "view is null");
      nodes = List.copyOf(nodes);
      requireNonNull(routers, "routers is null");
    }

    private List<String> services() {
      return Stream.concat(nodes.stream(), routers.stream()).distinct().toList();
    }

    /**
     * Has what is known told to a cluster, from now on.
     *
     * @param cluster of this router
     */
    void tell(Cluster cluster) {
      if (services().isEmpty()) {
        return;
      }
      view.watch(
          services(),
          peers -> {
            cluster.seen(
                peers.stream()
                    .filter(peer -> nodes.contains(peer.service()))
                    .collect(Collectors.toUnmodifiableSet()));
            long others =
                peers.stream()
                    .filter(peer -> routers.stream().anyMatch(peer.service()::equals))
                    .filter(peer -> !peer.leaving())
                    .count();
            cluster.demand().among((int) Math.max(1, others));
          });
    }
  }

  /**
   * How adapters are loaded and unloaded while the router runs. Who reaches this port may do that
   * without further ado, so it is one of its own, on the machine itself unless said otherwise.
   *
   * @param host to listen on
   * @param port 0 for any
   * @param roots folders that adapters may be in
   * @param folder whose subfolders are adapters, which come and go with it; empty for none
   */
  public record Admin(String host, int port, AdapterRoots roots, Optional<Path> folder) {
    public Admin {
      requireNonNull(host, "host is null");
      requireNonNull(roots, "roots is null");
      requireNonNull(folder, "folder is null");
    }

    /** On this machine at any port, with adapters from beside the model. */
    static Admin local(Path model) {
      return new Admin("127.0.0.1", 0, AdapterRoots.beside(model), Optional.empty());
    }
  }

  /**
   * What a router takes at most.
   *
   * @param maxInFlight requests at work
   * @param maxQueued requests that wait to be admitted
   * @param maxBodyBytes of one request
   * @param maxHeldBytes of all requests' bodies together
   * @param maxMediaItems in one request
   * @param requestTimeout from admission to the last token
   * @param recoveryWait how long an answer that lost a node may be without another or a token
   *     before it is given up
   * @param nodeSilence how long a node may say nothing before it is taken for lost
   * @param drain how long {@link Router#close} lets requests finish
   * @param refusesLate whether requests are refused that are predicted to miss their target
   */
  public record Limits(
      int maxInFlight,
      int maxQueued,
      int maxBodyBytes,
      long maxHeldBytes,
      int maxMediaItems,
      Duration requestTimeout,
      Duration recoveryWait,
      Duration nodeSilence,
      Duration drain,
      boolean refusesLate) {
    public static final Limits DEFAULT = new Builder().build();

    /** The same, to be changed. */
    public Builder but() {
      Builder builder = new Builder();
      builder.maxInFlight = maxInFlight;
      builder.maxQueued = maxQueued;
      builder.maxBodyBytes = maxBodyBytes;
      builder.maxHeldBytes = maxHeldBytes;
      builder.maxMediaItems = maxMediaItems;
      builder.requestTimeout = requestTimeout;
      builder.recoveryWait = recoveryWait;
      builder.nodeSilence = nodeSilence;
      builder.drain = drain;
      builder.refusesLate = refusesLate;
      return builder;
    }

    /** What is unusual about the limits of a router. */
    public static final class Builder {
      private int maxInFlight = 256;
      private int maxQueued = 1024;
      private int maxBodyBytes = 64 << 20;
      private long maxHeldBytes = 1L << 30;
      private int maxMediaItems = 64;
      private Duration requestTimeout = Duration.ofMinutes(10);
      private Duration recoveryWait = Duration.ofMinutes(1);
      private Duration nodeSilence = Duration.ofSeconds(10);
      private Duration drain = Duration.ofSeconds(5);
      private boolean refusesLate;

      private Builder() {}

      public Builder maxInFlight(int value) {
        maxInFlight = value;
        return this;
      }

      public Builder maxQueued(int value) {
        maxQueued = value;
        return this;
      }

      public Builder maxBodyBytes(int value) {
        maxBodyBytes = value;
        return this;
      }

      public Builder maxHeldBytes(long value) {
        maxHeldBytes = value;
        return this;
      }

      public Builder maxMediaItems(int value) {
        maxMediaItems = value;
        return this;
      }

      public Builder requestTimeout(Duration value) {
        requestTimeout = value;
        return this;
      }

      public Builder recoveryWait(Duration value) {
        recoveryWait = value;
        return this;
      }

      public Builder nodeSilence(Duration value) {
        nodeSilence = value;
        return this;
      }

      public Builder drain(Duration value) {
        drain = value;
        return this;
      }

      public Builder refusesLate(boolean value) {
        refusesLate = value;
        return this;
      }

      public Limits build() {
        return new Limits(
            maxInFlight,
            maxQueued,
            maxBodyBytes,
            maxHeldBytes,
            maxMediaItems,
            requestTimeout,
            recoveryWait,
            nodeSilence,
            drain,
            refusesLate);
      }
    }
  }
}
