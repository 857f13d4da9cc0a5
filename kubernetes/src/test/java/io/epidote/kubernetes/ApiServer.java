package io.epidote.kubernetes;

import io.fabric8.kubernetes.api.model.Pod;
import io.fabric8.kubernetes.api.model.PodBuilder;
import io.fabric8.kubernetes.api.model.discovery.v1.Endpoint;
import io.fabric8.kubernetes.api.model.discovery.v1.EndpointBuilder;
import io.fabric8.kubernetes.api.model.discovery.v1.EndpointSlice;
import io.fabric8.kubernetes.api.model.discovery.v1.EndpointSliceBuilder;
import io.fabric8.kubernetes.client.ConfigBuilder;
import io.fabric8.kubernetes.client.KubernetesClient;
import io.fabric8.kubernetes.client.server.mock.KubernetesCrudDispatcher;
import io.fabric8.kubernetes.client.server.mock.KubernetesMockServer;
import io.fabric8.mockwebserver.Context;
import io.fabric8.mockwebserver.MockWebServer;
import io.fabric8.mockwebserver.http.RecordedRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.jspecify.annotations.Nullable;

/** An API server that keeps what it is given, and tells watchers. */
public final class ApiServer implements AutoCloseable {
  public static final String NAMESPACE = "serving";
  public static final String LEASE = "epidote-roles";

  /** Would tell every request. */
  private static final Logger REQUESTS = Logger.getLogger("io.fabric8.mockwebserver");

  static {
    REQUESTS.setLevel(Level.WARNING);
  }

  private final KubernetesMockServer server =
      new KubernetesMockServer(
          new Context(),
          new MockWebServer(),
          new HashMap<>(),
          new KubernetesCrudDispatcher(),
          false);
  private final KubernetesClient client;

  public ApiServer() {
    server.init();
    client = connect();
  }

  /** A client of its own, for a process of its own. */
  public KubernetesClient connect() {
    return KubernetesView.client(
        new ConfigBuilder()
            .withMasterUrl("http://127.0.0.1:" + server.getPort())
            .withNamespace(NAMESPACE)
            .build());
  }

  /** The view of a router that may lead. */
  public static KubernetesView router(KubernetesClient client, String name, Duration time) {
    return new KubernetesView(
        client, NAMESPACE, Optional.of(new KubernetesView.Election(LEASE, name, time)));
  }

  /** The view of a process that never leads. */
  public static KubernetesView node(KubernetesClient client) {
    return new KubernetesView(client, NAMESPACE, Optional.empty());
  }

  /** Who has the lease, or nobody. */
  public String holder() {
    var lease = client.leases().inNamespace(NAMESPACE).withName(LEASE).get();
    return lease == null ? "" : lease.getSpec().getHolderIdentity();
  }

  public static Endpoint endpoint(String host, boolean terminating) {
    return new EndpointBuilder()
        .withAddresses(host)
        .withNewConditions()
        .withReady(!terminating)
        .withServing(true)
        .withTerminating(terminating)
        .endConditions()
        .build();
  }

  /** Sets a slice of a service. */
  public void slice(String service, String suffix, Endpoint... endpoints) {
    EndpointSlice slice =
        new EndpointSliceBuilder()
            .withNewMetadata()
            .withNamespace(NAMESPACE)
            .withName(service + "-" + suffix)
            .withLabels(Map.of("kubernetes.io/service-name", service))
            .endMetadata()
            .withAddressType("IPv4")
            .withEndpoints(List.copyOf(Arrays.asList(endpoints)))
            .build();
    var unused = client.resource(slice).createOr(each -> each.update());
  }

  public void deleteSlice(String service, String suffix) {
    var unused =
        client
            .discovery()
            .v1()
            .endpointSlices()
            .inNamespace(NAMESPACE)
            .withName(service + "-" + suffix)
            .delete();
  }

  public void pod(String name, Map<String, String> labels) {
    Pod pod =
        new PodBuilder()
            .withNewMetadata()
            .withNamespace(NAMESPACE)
            .withName(name)
            .withLabels(labels)
            .endMetadata()
            .withNewSpec()
            .endSpec()
            .build();
    var unused = client.resource(pod).create();
  }

  public Map<String, String> labels(String pod) {
    return client.pods().inNamespace(NAMESPACE).withName(pod).get().getMetadata().getLabels();
  }

  /** What it was asked since this was asked last, as {@code GET /api/v1/…}. */
  public List<String> requests() throws InterruptedException {
    List<String> requests = new ArrayList<>();
    for (var each = next(); each != null; each = next()) {
      requests.add(each.getMethod() + " " + each.getPath());
    }
    return requests;
  }

  private @Nullable RecordedRequest next() throws InterruptedException {
    return server.takeRequest(10, TimeUnit.MILLISECONDS);
  }

  @Override
  public void close() {
    client.close();
    server.destroy();
  }
}
