package io.epidote.cli;

import io.epidote.node.NodeRuntime;
import io.epidote.node.discovery.ClusterView;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "node",
    description = "Runs one node with any combination of stages and registers it with routers.",
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote node --stages encode --router localhost:8001",
      "  epidote node --stages prefill,decode --router router-0:8001 --host 10.0.0.7 --port 9000",
      "  epidote node --stages encode-prefill --discovery dns --router epidote-routers:8001"
    })
final class NodeCommand implements Callable<Integer> {
  @Option(
      names = "--stages",
      required = true,
      paramLabel = "LIST",
      description = "Some of encode,prefill,decode, with commas or hyphens between them.")
  private String stages = "";

  @Option(
      names = "--router",
      required = true,
      paramLabel = "HOST:PORT",
      description =
          "The gRPC address of a router, or of a service that all routers are behind, see --discovery. Repeat for several.")
  private List<String> routers = List.of();

  @Option(
      names = "--name",
      paramLabel = "NAME",
      description = "Unique in the cluster. Default: the stages and the process id.")
  private String name = "";

  @Option(
      names = "--bind",
      paramLabel = "ADDRESS",
      description = "Address to listen on. Default: that of --host.")
  private String bind = "";

  @Option(
      names = "--host",
      paramLabel = "ADDRESS",
      description = "Host under which other nodes reach this one. Default: ${DEFAULT-VALUE}.")
  private String host = "127.0.0.1";

  @Option(
      names = "--port",
      paramLabel = "N",
      description =
          "Port to listen on, and the next one for bulk data. 0 (default) for any free ones.")
  private int port;

  @Option(
      names = "--metrics-port",
      paramLabel = "N",
      description =
          "Port for /metrics, for Prometheus, and /healthz and /readyz, for probes, at the address of --bind. 0 for any free one. Default: none.")
  private @Nullable Integer metricsPort;

  @Mixin private DiscoveryOptions discovery = new DiscoveryOptions();
  @Mixin private ModelOptions model = new ModelOptions();
  @Mixin private NodeOptions options = new NodeOptions();
  @Mixin private ParentWatch parent = new ParentWatch();

  @Override
  public Integer call() throws InterruptedException {
    parent.start();
    options.logs.apply();
    String ownName =
        name.isEmpty() ? stages.replace(',', '-') + "-" + ProcessHandle.current().pid() : name;
    ClusterView view = discovery.view(Optional.empty());
    PrometheusMeterRegistry meters = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    NodeRuntime node =
        NodeLauncher.start(
            new NodeLauncher.Settings(
                new NodeSpec(ownName, NodeSpec.parseStages(stages)),
                model.folder,
                bind.isEmpty() ? host : bind,
                host,
                port,
                routers,
                view,
                options),
            meters);
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  node.close();
                  view.close();
                },
                "stop-node"));
    String metrics = "";
    if (metricsPort != null) {
      String address = bind.isEmpty() ? host : bind;
      MetricsServer served =
          MetricsServer.start(
              address, metricsPort, ownName, model.folder.getFileName().toString(), meters, node);
      Runtime.getRuntime().addShutdownHook(new Thread(served::close, "stop-metrics"));
      metrics = " metrics=%s:%d".formatted(address, served.port());
    }
    System.out.printf(
        "%snode=%s grpc=%s%s after=%s%n",
        ChildProcess.READY, ownName, node.address(), metrics, ClusterStart.age());
    // The shutdown hook stops the node. After an error nothing that it holds can be relied on:
    // the process ends without another word to anybody, and routers go on elsewhere.
    System.err.println("epidote: the node ends. " + node.awaitFault());
    Runtime.getRuntime().halt(1);
    return 1;
  }
}
