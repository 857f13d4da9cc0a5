package io.epidote.kubernetes;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.discovery.ClusterView;
import io.epidote.node.discovery.Peer;
import io.epidote.proto.v1.Stage;
import io.fabric8.kubernetes.api.model.Pod;
import io.fabric8.kubernetes.api.model.discovery.v1.Endpoint;
import io.fabric8.kubernetes.api.model.discovery.v1.EndpointSlice;
import io.fabric8.kubernetes.client.Config;
import io.fabric8.kubernetes.client.ConfigBuilder;
import io.fabric8.kubernetes.client.KubernetesClient;
import io.fabric8.kubernetes.client.KubernetesClientBuilder;
import io.fabric8.kubernetes.client.KubernetesClientException;
import io.fabric8.kubernetes.client.dsl.base.PatchContext;
import io.fabric8.kubernetes.client.dsl.base.PatchType;
import io.fabric8.kubernetes.client.informers.ResourceEventHandler;
import io.fabric8.kubernetes.client.informers.SharedIndexInformer;
import io.fabric8.kubernetes.client.jdkhttp.JdkHttpClientFactory;
import java.net.HttpURLConnection;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A cluster as Kubernetes knows it. Services are Services of the namespace, whose EndpointSlices
 * are watched; while the API server is away, what it said last holds. A terminating endpoint is
 * leaving; one that is not ready is not, because a node's registration tells that sooner.
 */
public final class KubernetesView implements ClusterView {
  /** Which stages a pod has, joined by a hyphen: the label by which llm-d's schedulers go, too. */
  public static final String ROLE_LABEL = "llm-d.ai/role";

  private static final Logger log = LoggerFactory.getLogger(KubernetesView.class);
  private static final String SERVICE_LABEL = "kubernetes.io/service-name";
  private static final Duration REQUEST = Duration.ofSeconds(2);
  private static final Duration RECONNECT = Duration.ofMillis(200);

  private final KubernetesClient client;
  private final String namespace;
  private final Optional<RoleLease> lease;
  private final List<SharedIndexInformer<EndpointSlice>> informers = new CopyOnWriteArrayList<>();

  /**
   * How a router takes part in the choice of who changes roles.
   *
   * @param name of the Lease
   * @param identity of this router, unique among all that ever were
   * @param time within which another router leads when the one that does is lost
   */
  public record Election(String name, String identity, Duration time) {
    public Election {
      requireNonNull(name, "name is null");
      requireNonNull(identity, "identity is null");
      if (time.compareTo(RoleLease.SHORTEST) < 0) {
        throw new EpidoteException.InvalidRequest(
            "A lease time of %d ms does not work; expected at least %d s"
                .formatted(time.toMillis(), RoleLease.SHORTEST.toSeconds()));
      }
    }
  }

  /**
   * @param client closed with this view
   * @param election empty for a process that never leads
   */
  public KubernetesView(KubernetesClient client, String namespace, Optional<Election> election) {
    this.client = requireNonNull(client, "client is null");
    this.namespace = requireNonNull(namespace, "namespace is null");
    this.lease =
        election.map(of -> new RoleLease(client, namespace, of.name(), of.identity(), of.time()));
  }

  /**
   * With the API server and the namespace that the pod's service account names, or else the user's
   * kubeconfig.
   *
   * @param namespace empty for the pod's own
   * @throws EpidoteException.InvalidRequest when neither is there
   */
  public static KubernetesView ofEnvironment(String namespace, Optional<Election> election) {
    Config config = Config.autoConfigure(null);
    String found = namespace.isEmpty() ? config.getNamespace() : namespace;
    if (found == null || found.isEmpty()) {
      throw new EpidoteException.InvalidRequest(
          "No namespace is known: there is neither a service account of a pod nor a kubeconfig; run this in a pod, or name one with --namespace");
    }
    return new KubernetesView(client(config), found, election);
  }

  /** A client that fails soon, so that it can be seen that the API server is away. */
  static KubernetesClient client(Config config) {
    return new KubernetesClientBuilder()
        .withConfig(
            new ConfigBuilder(config)
                .withConnectionTimeout((int) REQUEST.toMillis())
                .withRequestTimeout((int) REQUEST.toMillis())
                .withRequestRetryBackoffLimit(0)
                .withWatchReconnectInterval((int) RECONNECT.toMillis())
                .build())
        .withHttpClientFactory(new JdkHttpClientFactory())
        .build();
  }

  @Override
  public void watch(Collection<String> services, Consumer<Set<Peer>> listener) {
    Slices slices = new Slices(listener);
    for (String service : services) {
      SharedIndexInformer<EndpointSlice> informer =
          client
              .discovery()
              .v1()
              .endpointSlices()
              .inNamespace(namespace)
              .withLabel(SERVICE_LABEL, service)
              .runnableInformer(0);
      informer.addEventHandler(slices);
      informer.exceptionHandler((started, error) -> {
        log.warn("EndpointSlices of {} cannot be watched now: {}", service, error.getMessage());
        return true;
      });
      informers.add(informer);
      var unused = informer.start();
    }
  }

  @Override
  public boolean leads() {
    return lease.map(RoleLease::isHeld).orElse(false);
  }

  @Override
  public void showRole(String nodeId, Set<Stage> stages) {
    String role =
        stages.stream()
            .sorted()
            .map(stage -> stage.name().replace("STAGE_", "").toLowerCase(Locale.ROOT))
            .collect(Collectors.joining("-"));
    try {
      Pod unused =
          client
              .pods()
              .inNamespace(namespace)
              .withName(nodeId)
              .patch(
                  PatchContext.of(PatchType.JSON_MERGE),
                  "{\"metadata\":{\"labels\":{\"%s\":\"%s\"}}}".formatted(ROLE_LABEL, role));
      log.info("The pod {} is labelled {}", nodeId, role);
    } catch (KubernetesClientException e) {
      if (e.getCode() == HttpURLConnection.HTTP_NOT_FOUND) {
        log.info("The node {} is no pod, so that its role is not shown", nodeId);
        return;
      }
      throw new EpidoteException.Unavailable(
          "The label %s of the pod %s cannot be set: %s"
              .formatted(ROLE_LABEL, nodeId, e.getMessage()),
          e);
    }
  }

  @Override
  public void close() {
    lease.ifPresent(RoleLease::close);
    informers.forEach(SharedIndexInformer::close);
    client.close();
  }

  /** Puts the endpoints of all slices together. */
  private static final class Slices implements ResourceEventHandler<EndpointSlice> {
    private final Consumer<Set<Peer>> listener;
    private final Map<String, EndpointSlice> slices = new ConcurrentHashMap<>();
    private Set<Peer> told = Set.of();

    Slices(Consumer<Set<Peer>> listener) {
      this.listener = listener;
    }

    @Override
    public void onAdd(EndpointSlice slice) {
      slices.put(slice.getMetadata().getName(), slice);
      tell();
    }

    @Override
    public void onUpdate(EndpointSlice old, EndpointSlice slice) {
      onAdd(slice);
    }

    @Override
    public void onDelete(EndpointSlice slice, boolean unknown) {
      slices.remove(slice.getMetadata().getName());
      tell();
    }

    private synchronized void tell() {
      Map<List<String>, Boolean> leaving = new HashMap<>();
      for (EndpointSlice slice : slices.values()) {
        String service = slice.getMetadata().getLabels().get(SERVICE_LABEL);
        for (Endpoint endpoint : slice.getEndpoints()) {
          for (String address : endpoint.getAddresses()) {
            // A pod may be in two slices for a moment; the one that stays is right.
            leaving.merge(List.of(service, address), leaves(endpoint), Boolean::logicalAnd);
          }
        }
      }
      Set<Peer> peers = new HashSet<>();
      leaving.forEach((who, leaves) -> peers.add(new Peer(who.getFirst(), who.getLast(), leaves)));
      if (peers.equals(told)) {
        return;
      }
      told = Set.copyOf(peers);
      try {
        listener.accept(told);
      } catch (RuntimeException e) {
        log.error("A change of EndpointSlices was not understood", e);
      }
    }

    private static boolean leaves(Endpoint endpoint) {
      return endpoint.getConditions() != null
          && Boolean.TRUE.equals(endpoint.getConditions().getTerminating());
    }
  }
}
