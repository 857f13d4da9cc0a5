package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.node.discovery.ClusterView;
import io.epidote.node.discovery.StaticView;
import io.epidote.node.engine.TenantWeights;
import io.epidote.node.tls.TlsFiles;
import io.epidote.node.transfer.TransferOptions;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * How a node is started.
 *
 * @param nodeId unique in the cluster
 * @param bindHost address to listen on
 * @param advertisedHost host under which other nodes and routers reach this one
 * @param port to listen on, and the next one for bulk data; 0 for free ones
 * @param routers {@code host:port} of every router; a host is what the view looks for
 * @param model name of the served checkpoint
 * @param fingerprint content hash of the checkpoint
 * @param version Epidote's version
 * @param limits bounds on waits and queues
 * @param transfer how it pulls
 * @param sharing how requests share it
 * @param view how it finds routers
 * @param tls its certificates, with which only members of the cluster reach it; empty for plaintext
 */
public record NodeConfig(
    String nodeId,
    String bindHost,
    String advertisedHost,
    int port,
    List<String> routers,
    String model,
    String fingerprint,
    String version,
    Limits limits,
    TransferOptions transfer,
    Sharing sharing,
    ClusterView view,
    Optional<TlsFiles> tls) {
  public NodeConfig {
    requireNonNull(nodeId, "nodeId is null");
    routers = List.copyOf(routers);
    requireNonNull(limits, "limits is null");
    requireNonNull(transfer, "transfer is null");
    requireNonNull(sharing, "sharing is null");
    requireNonNull(view, "view is null");
    requireNonNull(tls, "tls is null");
  }

  /**
   * A node of this machine at free ports, without routers, and as usual in all else.
   *
   * @param nodeId unique in the cluster
   */
  public static Builder of(String nodeId, String model, String fingerprint, String version) {
    return new Builder(nodeId, model, fingerprint, version);
  }

  /** What a node has that is not as usual. */
  public static final class Builder {
    private final String nodeId;
    private final String model;
    private final String fingerprint;
    private final String version;
    private String bindHost = "127.0.0.1";
    private String advertisedHost = "127.0.0.1";
    private int port;
    private List<String> routers = List.of();
    private Limits limits = Limits.defaults();
    private TransferOptions transfer = TransferOptions.defaults();
    private Sharing sharing = Sharing.DEFAULT;
    private ClusterView view = new StaticView();
    private Optional<TlsFiles> tls = Optional.empty();

    private Builder(String nodeId, String model, String fingerprint, String version) {
      this.nodeId = nodeId;
      this.model = model;
      this.fingerprint = fingerprint;
      this.version = version;
    }

    /** Where it listens, and how others reach it. */
    public Builder listen(String bind, String advertised, int at) {
      bindHost = bind;
      advertisedHost = advertised;
      port = at;
      return this;
    }

    public Builder routers(List<String> addresses) {
      routers = addresses;
      return this;
    }

    public Builder limits(Limits bounds) {
      limits = bounds;
      return this;
    }

    public Builder transfer(TransferOptions options) {
      transfer = options;
      return this;
    }

    public Builder sharing(Sharing how) {
      sharing = how;
      return this;
    }

    public Builder view(ClusterView finds) {
      view = finds;
      return this;
    }

    public Builder tls(Optional<TlsFiles> files) {
      tls = files;
      return this;
    }

    public NodeConfig build() {
      return new NodeConfig(
          nodeId,
          bindHost,
          advertisedHost,
          port,
          routers,
          model,
          fingerprint,
          version,
          limits,
          transfer,
          sharing,
          view,
          tls);
    }
  }

  /**
   * @param adaptersPerBatch distinct adapters in a step of prefill or decode, at the most
   * @param tenants what each tenant gets of a stage that is contended
   */
  public record Sharing(int adaptersPerBatch, TenantWeights tenants) {
    /** Any number of adapters, and tenants alike. */
    public static final Sharing DEFAULT = new Sharing(Integer.MAX_VALUE, TenantWeights.EQUAL);

    public Sharing {
      requireNonNull(tenants, "tenants is null");
      if (adaptersPerBatch < 1) {
        throw new InvalidRequest(
            "%d adapters a batch do not work; expected at least 1".formatted(adaptersPerBatch));
      }
    }
  }

  /**
   * @param lease how long a handle lives without being renewed
   * @param stall how long a pull may go without a byte
   * @param maxWait how long a request may wait for blocks
   * @param drain how long closing waits for running requests
   * @param admissions new requests that may wait for the engine thread
   * @param requests requests that one stage holds at a time
   * @param replies messages that may wait for a slow caller
   * @param watchdog how long a step may take before the node reports that it is stuck; 0 for ever
   */
  public record Limits(
      Duration lease,
      Duration stall,
      Duration maxWait,
      Duration drain,
      int admissions,
      int requests,
      int replies,
      Duration watchdog) {
    /** With the usual watchdog. */
    public Limits(
        Duration lease,
        Duration stall,
        Duration maxWait,
        Duration drain,
        int admissions,
        int requests,
        int replies) {
      this(lease, stall, maxWait, drain, admissions, requests, replies, Duration.ofMinutes(2));
    }

    /** The same with other bounds on what must end. */
    public Limits with(Duration otherDrain, Duration otherWatchdog) {
      return new Limits(
          lease, stall, maxWait, otherDrain, admissions, requests, replies, otherWatchdog);
    }

    /** A duration as users write it: {@code 30s}, {@code 2m}. */
    public static String words(Duration duration) {
      return duration.toString().substring(2).toLowerCase(Locale.ROOT);
    }

    public static Limits defaults() {
      return new Limits(
          Duration.ofSeconds(30),
          Duration.ofSeconds(10),
          Duration.ofMinutes(2),
          Duration.ofSeconds(5),
          1024,
          1024,
          4096);
    }
  }
}
