package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.model.Adapters;
import io.epidote.proto.v1.Stage;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a node is at a time: its stages and what they compute with. Process, server, ports, leases
 * and registration outlive it.
 *
 * @param node that the stages were made with
 * @param stages in the order of their turns: decode, prefill, encode keeps tokens flowing
 * @param models used by the stages alone; closed with the role
 * @param adapters of the decoder among the models
 */
public record Role(
    NodeContext node,
    List<io.epidote.node.Stage> stages,
    List<? extends AutoCloseable> models,
    Optional<Adapters> adapters) {
  private static final Logger log = LoggerFactory.getLogger(Role.class);

  public Role {
    requireNonNull(node, "node is null");
    stages = List.copyOf(stages);
    models = List.copyOf(models);
    requireNonNull(adapters, "adapters is null");
  }

  /** Nothing: what a node is between a role that is unloaded and one that is not loaded yet. */
  static Role none(NodeContext node) {
    return new Role(node, List.of(), List.of(), Optional.empty());
  }

  Set<Stage> kinds() {
    Set<Stage> kinds = EnumSet.noneOf(Stage.class);
    stages.forEach(stage -> kinds.add(stage.kind()));
    return kinds;
  }

  /** Closes the models; no step may be running with them, and none may follow. */
  void closeModels() {
    for (AutoCloseable model : models) {
      try {
        model.close();
      } catch (Exception e) {
        log.warn("A model could not be closed", e);
      }
    }
  }
}
