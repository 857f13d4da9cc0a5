package io.epidote.cli;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.node.AdapterRoots;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;

/** Options of every command that starts a cluster of its own. */
final class ClusterOptions {
  @Mixin ModelOptions model = new ModelOptions();
  @Mixin PortOptions ports = new PortOptions();
  @Mixin NodeOptions node = new NodeOptions();
  @Mixin RouterOptions router = new RouterOptions();

  /** Where the first node's metrics are, those of others after it; 0: anywhere; null: nowhere. */
  @Nullable Integer metricsPort;

  /** Ports that nobody else uses: for clusters that live as long as one command. */
  ClusterOptions onAnyPort() {
    ports.http = 0;
    ports.grpc = 0;
    ports.admin = 0;
    return this;
  }

  /** What is served: an emulated device's own model, where it has one and no other is named. */
  Path modelFolder() {
    return model.folder.equals(ModelOptions.DEFAULT)
        ? node.emulation
            .device()
            .flatMap(CostProfile::model)
            .map(Home::emulatedModel)
            .orElse(model.folder)
        : model.folder;
  }

  List<String> routerArguments() {
    List<String> arguments =
        new ArrayList<>(
            List.of(
                "router",
                "--model",
                modelFolder().toString(),
                "--http-port",
                Integer.toString(ports.http),
                "--grpc-port",
                Integer.toString(ports.grpc),
                "--admin-port",
                Integer.toString(ports.admin)));
    arguments.addAll(router.arguments());
    arguments.addAll(node.roots.arguments());
    arguments.addAll(node.tenants.arguments());
    arguments.addAll(node.tls.arguments());
    arguments.addAll(node.tracing.arguments());
    arguments.addAll(node.logs.arguments());
    return arguments;
  }

  /** Where a node's metrics are, by its place among the nodes. */
  OptionalInt metricsPort(int index) {
    return metricsPort == null
        ? OptionalInt.empty()
        : OptionalInt.of(metricsPort == 0 ? 0 : metricsPort + index);
  }

  /**
   * A node's command.
   *
   * @param index its place among the nodes
   */
  List<String> nodeArguments(NodeSpec spec, int index, String router) {
    List<String> arguments =
        new ArrayList<>(
            List.of(
                "node",
                "--name",
                spec.name(),
                "--stages",
                spec.stageWords(),
                "--router",
                router,
                "--model",
                modelFolder().toString()));
    metricsPort(index)
        .ifPresent(port -> arguments.addAll(List.of("--metrics-port", Integer.toString(port))));
    arguments.addAll(node.arguments());
    return arguments;
  }

  /** Folders that adapters may be in; where adapters are watched is one. */
  void allowWatched() {
    router
        .adapterFolder()
        .filter(folder -> !node.roots.folders.contains(folder))
        .ifPresent(folder -> {
          if (node.roots.folders.isEmpty()) {
            node.roots.folders.addAll(AdapterRoots.beside(model.folder).roots());
          }
          node.roots.folders.add(folder);
        });
  }
}
