package io.epidote.node.discovery;

import io.epidote.proto.v1.Stage;
import java.util.Collection;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/** Services are hosts, and nothing changes. */
public final class StaticView implements ClusterView {
  @Override
  public void watch(Collection<String> services, Consumer<Set<Peer>> listener) {
    listener.accept(
        services.stream()
            .map(host -> new Peer(host, host, false))
            .collect(Collectors.toUnmodifiableSet()));
  }

  @Override
  public boolean leads() {
    return true;
  }

  @Override
  public void showRole(String nodeId, Set<Stage> stages) {}

  @Override
  public void close() {}
}
