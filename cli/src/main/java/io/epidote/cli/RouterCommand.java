package io.epidote.cli;

import io.epidote.router.Router;
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
      "  epidote router --model ~/models/mine --host 0.0.0.0 --http-port 80"
    })
final class RouterCommand implements Callable<Integer> {
  @Option(
      names = "--host",
      paramLabel = "ADDRESS",
      description = "Address to listen on. Default: ${DEFAULT-VALUE}.")
  private String host = "127.0.0.1";

  @Mixin private ModelOptions model = new ModelOptions();
  @Mixin private PortOptions ports = new PortOptions();
  @Mixin private RouterOptions options = new RouterOptions();
  @Mixin private AdapterRootOptions roots = new AdapterRootOptions();
  @Mixin private TenantOptions tenants = new TenantOptions();
  @Mixin private ParentWatch parent = new ParentWatch();

  @Override
  public Integer call() throws InterruptedException {
    parent.start();
    Router router = Router.start(options.config(model.folder, host, ports, tenants, roots));
    Runtime.getRuntime().addShutdownHook(new Thread(router::close, "stop-router"));
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
