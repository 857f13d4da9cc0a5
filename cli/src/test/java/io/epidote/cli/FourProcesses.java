package io.epidote.cli;

import java.util.List;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * Gives tests a router and an encode, a prefill and a decode node as four real processes, started
 * once for all test classes.
 */
final class FourProcesses implements ParameterResolver {
  static final List<NodeSpec> NODES = NodeSpec.parseList("E,P,D");

  private record Shared(ProcessCluster cluster) implements AutoCloseable {
    @Override
    public void close() {
      cluster.close();
    }
  }

  @Override
  public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
    return parameter.getParameter().getType() == Cluster.class;
  }

  @Override
  public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
    return context
        .getRoot()
        .getStore(Namespace.create(FourProcesses.class))
        .computeIfAbsent(
            Shared.class,
            key ->
                new Shared(
                    ProcessCluster.start(new ClusterOptions().onAnyPort(), NODES, new Progress())),
            Shared.class)
        .cluster();
  }
}
