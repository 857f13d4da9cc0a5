package io.epidote.router;

import static java.util.Objects.requireNonNull;

import io.epidote.node.AdapterRoots;
import io.epidote.node.engine.TenantWeights;
import io.epidote.router.cluster.Topology;
import io.epidote.router.request.Slo;
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
 * @param overlap whether a stage begins with what there is while the one before is still at work.
 *     Off is for measurement: strictly one stage after the other
 * @param topology that every request must have, for measurement; empty for whichever is predicted
 *     to be fastest
 * @param slo of requests that say none
 * @param classifier file that chooses adapters for requests to MODEL:auto; empty for none
 * @param tenants what each tenant gets of the places for requests
 * @param admin where adapters are loaded and unloaded, and from which folders
 * @param divides whether several nodes may encode for one request
 */
public record RouterConfig(
    Path model,
    Path cache,
    String host,
    int httpPort,
    int grpcPort,
    String version,
    boolean overlap,
    Optional<Topology> topology,
    Slo slo,
    Limits limits,
    Optional<Path> classifier,
    TenantWeights tenants,
    Admin admin,
    boolean divides) {
  public RouterConfig {
    requireNonNull(model, "model is null");
    requireNonNull(cache, "cache is null");
    requireNonNull(host, "host is null");
    requireNonNull(version, "version is null");
    requireNonNull(topology, "topology is null");
    requireNonNull(slo, "slo is null");
    requireNonNull(limits, "limits is null");
    requireNonNull(classifier, "classifier is null");
    requireNonNull(tenants, "tenants is null");
    requireNonNull(admin, "admin is null");
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
        true,
        Optional.empty(),
        Slo.NONE,
        Limits.DEFAULT,
        Optional.empty(),
        TenantWeights.EQUAL,
        Admin.local(model),
        true);
  }

  /** The same router that lets stages overlap or not. */
  public RouterConfig withOverlap(boolean overlaps) {
    return new RouterConfig(
        model,
        cache,
        host,
        httpPort,
        grpcPort,
        version,
        overlaps,
        topology,
        slo,
        limits,
        classifier,
        tenants,
        admin,
        divides);
  }

  /** The same router that is held to a topology, or to none. */
  public RouterConfig withTopology(Optional<Topology> only) {
    return new RouterConfig(
        model,
        cache,
        host,
        httpPort,
        grpcPort,
        version,
        overlap,
        only,
        slo,
        limits,
        classifier,
        tenants,
        admin,
        divides);
  }

  /** The same router that divides the media of a request over encode nodes, or does not. */
  public RouterConfig withDivided(boolean divided) {
    return new RouterConfig(
        model,
        cache,
        host,
        httpPort,
        grpcPort,
        version,
        overlap,
        topology,
        slo,
        limits,
        classifier,
        tenants,
        admin,
        divided);
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
        overlap,
        topology,
        targets,
        limits,
        classifier,
        tenants,
        admin,
        divides);
  }

  /** The same router that chooses adapters by this file, or not at all. */
  public RouterConfig withClassifier(Optional<Path> file) {
    return new RouterConfig(
        model, cache, host, httpPort, grpcPort, version, overlap, topology, slo, limits, file,
        tenants, admin, divides);
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
        overlap,
        topology,
        slo,
        limits,
        classifier,
        weights,
        admin,
        divides);
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
        overlap,
        topology,
        slo,
        limits,
        classifier,
        tenants,
        other,
        divides);
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
        overlap,
        topology,
        slo,
        bounds,
        classifier,
        tenants,
        admin,
        divides);
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
   * @param drain how long {@link Router#close} lets requests finish
   */
  public record Limits(
      int maxInFlight,
      int maxQueued,
      int maxBodyBytes,
      long maxHeldBytes,
      int maxMediaItems,
      Duration requestTimeout,
      Duration drain) {
    public static final Limits DEFAULT =
        new Limits(
            256, 1024, 64 << 20, 1L << 30, 64, Duration.ofMinutes(10), Duration.ofSeconds(5));

    /** The same with that many requests at work. */
    public Limits withInFlight(int requests) {
      return new Limits(
          requests, maxQueued, maxBodyBytes, maxHeldBytes, maxMediaItems, requestTimeout, drain);
    }
  }
}
