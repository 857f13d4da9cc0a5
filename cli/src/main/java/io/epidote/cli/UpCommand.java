package io.epidote.cli;

import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "up",
    description = "Starts a router and nodes on this machine and serves until Ctrl-C.",
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote up                              one process, a node for each stage",
      "  epidote up --processes                  a process for the router and for each node",
      "  epidote up --processes --nodes E,EP,D   any combination of stages",
      "  epidote up --processes --metrics-port 9100   /metrics of nodes at 9100, 9101, ...",
      "  epidote up --nodes EPD                  aggregated: one node for everything",
      "  epidote up --model ~/models/mine        another Hugging Face folder"
    })
final class UpCommand implements Callable<Integer> {
  @Mixin private ClusterOptions options = new ClusterOptions();

  @Option(
      names = "--processes",
      description = "A process for the router and for each node, instead of one for all.")
  private boolean processes;

  @Option(
      names = "--nodes",
      paramLabel = "LIST",
      description = "Nodes as letters of their stages. Default: ${DEFAULT-VALUE}.")
  private String nodes = "E,P,D";

  @Option(
      names = "--metrics-port",
      paramLabel = "N",
      description =
          "Port for /metrics of the first node; those of the others have the next ones. 0 for any free ones. Default: none.")
  private @Nullable Integer metricsPort;

  @Override
  public Integer call() throws InterruptedException {
    List<NodeSpec> specs = NodeSpec.parseList(nodes);
    options.node.logs.apply();
    options.metricsPort = metricsPort;
    Cluster cluster;
    try (Progress progress = new Progress()) {
      cluster =
          processes
              ? ProcessCluster.start(options, specs, progress)
              : LocalCluster.start(options, specs, progress);
    }
    try (cluster) {
      String web =
          (options.node.tls.client().isPresent() ? "https://" : "http://") + cluster.httpAddress();
      System.out.printf(
          "Serving %s with %s%n  OpenAI API  %s/v1%n  gRPC        %s%n  Adapters    %s%n  Metrics     %s/metrics%n",
          options.modelFolder().getFileName(),
          specs.stream().map(NodeSpec::name).collect(Collectors.joining(", ")),
          web,
          cluster.grpcAddress(),
          cluster.adminAddress(),
          web);
      cluster
          .metricsAddresses()
          .forEach((node, address) ->
              System.out.printf("  Metrics     http://%s/metrics of %s%n", address, node));
      if (!options.router.noPage) {
        System.out.printf("  Page        %s/%n", web);
      }
      System.out.printf("  Ready after %s%nCtrl-C stops it.%n", cluster.startTimes());
      // The shutdown hooks stop what was started.
      new CountDownLatch(1).await();
    }
    return 0;
  }
}
