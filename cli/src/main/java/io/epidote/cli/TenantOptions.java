package io.epidote.cli;

import io.epidote.node.engine.TenantWeights;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import picocli.CommandLine.Option;

/** What tenants get of routers and nodes that have more to do than they can. */
final class TenantOptions {
  @Option(
      names = "--tenant-weight",
      paramLabel = "NAME=W",
      description =
          "A tenant's share where there is too much to do, in proportion to others: 2 for twice as much. Requests name their tenant in the header x-epidote-tenant. Repeat for several. Default: 1 for each.")
  Map<String, Double> byName = new TreeMap<>();

  TenantWeights weights() {
    return new TenantWeights(byName);
  }

  /** The same options for another process. */
  List<String> arguments() {
    List<String> arguments = new ArrayList<>();
    byName.forEach(
        (name, weight) -> arguments.addAll(List.of("--tenant-weight", name + "=" + weight)));
    return arguments;
  }
}
