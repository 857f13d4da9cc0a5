package io.epidote.cli;

import io.epidote.router.Router;
import io.epidote.router.RouterConfig;
import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "router",
    description = "Runs a router: the OpenAI API and gRPC for clients, the registry for nodes.",
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote router",
      "  epidote router --model ~/models/mine --host 0.0.0.0 --http-port 80",
      "  epidote router --host 0.0.0.0 --discovery kubernetes --nodes-service epidote-nodes --roles auto"
    })
final class RouterCommand implements Callable<Integer> {
  @Option(
      names = "--host",
      paramLabel = "ADDRESS",
      description = "Address to listen on. Default: ${DEFAULT-VALUE}.")
  private String host = "127.0.0.1";

  @Option(
      names = "--drain",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description =
          "How long a router that is stopped lets the requests that it has end. Default: 5s.")
  private Duration drain = RouterConfig.Limits.DEFAULT.drain();

  @Mixin private RouterDiscoveryOptions discovery = new RouterDiscoveryOptions();
  @Mixin private ModelOptions model = new ModelOptions();
  @Mixin private PortOptions ports = new PortOptions();
  @Mixin private RouterOptions options = new RouterOptions();
  @Mixin private AdapterRootOptions roots = new AdapterRootOptions();
  @Mixin private TenantOptions tenants = new TenantOptions();
  @Mixin private TlsOptions tls = new TlsOptions();
  @Mixin private TracingOptions tracing = new TracingOptions();
  @Mixin private LogOptions logs = new LogOptions();
  @Mixin private ParentWatch parent = new ParentWatch();

  @Override
  public Integer call() throws InterruptedException {
    parent.start();
    logs.apply();
    options.drain = drain;
    RouterConfig.Surroundings surroundings = discovery.surroundings();
    Router router =
        Router.start(
            options
                .config(model.folder, host, ports, tenants, tls, roots, tracing)
                .surroundings(surroundings)
                .build());
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  // Another router leads while this one lets its requests end.
                  surroundings.view().close();
                  router.close();
                },
                "stop-router"));
    System.out.printf(
        "%shttp=%s:%d grpc=%s:%d admin=%s:%d after=%s%n",
        ChildProcess.READY,
        host,
        router.httpPort(),
        host,
        router.grpcPort(),
        options.adminHost,
        router.adminPort(),
        ClusterStart.age());
    // The shutdown hook stops the router.
    new CountDownLatch(1).await();
    return 0;
  }
}
