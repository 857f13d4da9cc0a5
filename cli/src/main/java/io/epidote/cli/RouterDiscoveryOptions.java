package io.epidote.cli;

import io.epidote.kubernetes.KubernetesView;
import io.epidote.router.RouterConfig;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** What a router learns of its cluster from outside, beside what nodes tell. */
final class RouterDiscoveryOptions {
  @Mixin private DiscoveryOptions discovery = new DiscoveryOptions();

  @Option(
      names = "--nodes-service",
      paramLabel = "NAME",
      description =
          "A service that nodes are behind, with --discovery dns or kubernetes: nodes that stop or are gone there get no new requests, though they register. Repeat for several.")
  private List<String> services = new ArrayList<>();

  @Option(
      names = "--routers-service",
      paramLabel = "NAME",
      description =
          "The service that all routers are behind, likewise: who changes roles takes each for seeing as many requests as it does. Default: this router is alone.")
  private @Nullable String routers;

  @Option(
      names = "--name",
      paramLabel = "NAME",
      description =
          "By which this router holds the --lease, followed by random letters. Default: the host's name.")
  private @Nullable String name;

  @Option(
      names = "--lease",
      paramLabel = "NAME",
      description =
          "The Lease that the one router has that changes roles and labels pods, with --discovery kubernetes. Default: ${DEFAULT-VALUE}.")
  private String lease = "epidote-roles";

  @Option(
      names = "--lease-time",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description =
          "Within which another router has the --lease when the one that had it is lost, at least 2s. Default: 10s.")
  private Duration leaseTime = Duration.ofSeconds(10);

  /** The caller closes the view. */
  RouterConfig.Surroundings surroundings() {
    return new RouterConfig.Surroundings(
        discovery.view(Optional.of(new KubernetesView.Election(lease, identity(), leaseTime))),
        services,
        Optional.ofNullable(routers));
  }

  private String identity() {
    String host = name == null ? System.getenv().getOrDefault("HOSTNAME", "router") : name;
    return host + "-" + UUID.randomUUID().toString().substring(0, 8);
  }
}
