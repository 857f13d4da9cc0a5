package io.epidote.router;

import static java.util.Objects.requireNonNull;

import io.epidote.node.AdapterRoots;
import io.epidote.node.engine.TenantWeights;
import io.epidote.router.cluster.PlacementRules;
import io.epidote.router.request.Slo;
import io.epidote.router.roles.RoleRules;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/**
 * What a router is started with.
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
    RoleRules roles) {
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
  }

  public RouterConfig(
      Path model, Path cache, String host, int httpPort, int grpcPort, String version) {
    this(
        model,
        cache,
        host,
        httpPort,
        grpcPort,
        version,
        PlacementRules.FREE,
        Slo.NONE,
        Limits.DEFAULT,
        Optional.empty(),
        TenantWeights.EQUAL,
        Admin.local(model),
        RoleRules.MANUAL);
  }

  /** The same router that may do other things when it places requests. */
  public RouterConfig withPlacement(PlacementRules rules) {
    return new RouterConfig(
        model,
        cache,
        host,
        httpPort,
        grpcPort,
        version,
        rules,
        slo,
        limits,
        classifier,
        tenants,
        admin,
        roles);
  }

  /** The same router with targets for requests that say none. */
  public RouterConfig withSlo(Slo targets) {
    return new RouterConfig(
        model,
        cache,
        host,
        httpPort,
        grpcPort,
        version,
        placement,
        targets,
        limits,
        classifier,
        tenants,
        admin,
        roles);
  }

  /** The same router that chooses adapters by this file, or not at all. */
  public RouterConfig withClassifier(Optional<Path> file) {
    return new RouterConfig(
        model, cache, host, httpPort, grpcPort, version, placement, slo, limits, file, tenants,
        admin, roles);
  }

  /** The same router with other shares of tenants. */
  public RouterConfig withTenants(TenantWeights weights) {
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
        weights,
        admin,
        roles);
  }

  /** The same router, administrated elsewhere. */
  public RouterConfig withAdmin(Admin other) {
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
        other,
        roles);
  }

  /** The same router that changes roles in another way. */
  public RouterConfig withRoles(RoleRules other) {
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
        other);
  }

  /** The same router that takes more or less at a time. */
  public RouterConfig withLimits(Limits bounds) {
    return new RouterConfig(
        model,
        cache,
        host,
        httpPort,
        grpcPort,
        version,
        placement,
        slo,
        bounds,
        classifier,
        tenants,
        admin,
        roles);
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
    public static final Limits DEFAULT =
        new Limits(
            256,
            1024,
            64 << 20,
            1L << 30,
            64,
            Duration.ofMinutes(10),
            Duration.ofMinutes(1),
            Duration.ofSeconds(10),
            Duration.ofSeconds(5),
            false);

    /** The same with that many requests at work. */
    public Limits withInFlight(int requests) {
      return new Limits(
          requests,
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

    /** The same that refuses what would come late, or not. */
    public Limits withRefusesLate(boolean refuses) {
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
          refuses);
    }

    /** The same that waits for lost nodes, and for silent ones, as long. */
    public Limits withRecovery(Duration wait, Duration silence) {
      return new Limits(
          maxInFlight,
          maxQueued,
          maxBodyBytes,
          maxHeldBytes,
          maxMediaItems,
          requestTimeout,
          wait,
          silence,
          drain,
          refusesLate);
    }
  }
}
