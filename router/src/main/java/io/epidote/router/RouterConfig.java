package io.epidote.router;

import static java.util.Objects.requireNonNull;

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
    Optional<Path> classifier) {
  public RouterConfig {
    requireNonNull(model, "model is null");
    requireNonNull(cache, "cache is null");
    requireNonNull(host, "host is null");
    requireNonNull(version, "version is null");
    requireNonNull(topology, "topology is null");
    requireNonNull(slo, "slo is null");
    requireNonNull(limits, "limits is null");
    requireNonNull(classifier, "classifier is null");
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
        Optional.empty());
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
        classifier);
  }

  /** The same router that is held to a topology, or to none. */
  public RouterConfig withTopology(Optional<Topology> only) {
    return new RouterConfig(
        model, cache, host, httpPort, grpcPort, version, overlap, only, slo, limits, classifier);
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
        classifier);
  }

  /** The same router that chooses adapters by this file, or not at all. */
  public RouterConfig withClassifier(Optional<Path> file) {
    return new RouterConfig(
        model, cache, host, httpPort, grpcPort, version, overlap, topology, slo, limits, file);
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
        classifier);
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
