package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.kubernetes.KubernetesView;
import io.epidote.node.discovery.ClusterView;
import io.epidote.node.discovery.DnsView;
import io.epidote.node.discovery.StaticView;
import java.util.Optional;
import picocli.CommandLine.Option;

/** How a process finds the others of its cluster. */
final class DiscoveryOptions {
  @Option(
      names = "--discovery",
      paramLabel = "HOW",
      description =
          "How services that other options name are looked up: static, a service is a host; dns, a name with an address for each process, looked up every second; kubernetes, a Service of the namespace, whose EndpointSlices are watched. Default: ${DEFAULT-VALUE}.")
  private String discovery = "static";

  @Option(
      names = "--namespace",
      paramLabel = "NAME",
      description =
          "Namespace for --discovery kubernetes. Default: the pod's own, or the kubeconfig's.")
  private String namespace = "";

  /**
   * @param election of who changes roles, for --discovery kubernetes; empty for who never does
   */
  ClusterView view(Optional<KubernetesView.Election> election) {
    return switch (discovery) {
      case "static" -> new StaticView();
      case "dns" -> DnsView.ofSystem();
      case "kubernetes" -> KubernetesView.ofEnvironment(namespace, election);
      default ->
          throw new InvalidRequest(
              "--discovery %s is unknown; expected static, dns or kubernetes".formatted(discovery));
    };
  }
}
