package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.model.Adapters;
import io.epidote.node.engine.EngineLoop;
import io.epidote.proto.v1.Stage;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.function.Predicate;
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

  /**
   * This role with more stages.
   *
   * @param more made with the same node, of which neither has what the other computes with
   */
  Role plus(Role more) {
    List<io.epidote.node.Stage> all = new ArrayList<>(stages);
    all.addAll(more.stages);
    all.sort(Comparator.comparing(io.epidote.node.Stage::kind).reversed());
    List<AutoCloseable> used = new ArrayList<>(models);
    used.addAll(more.models);
    return new Role(node, all, used, adapters.or(more::adapters));
  }

  /**
   * Whether other stages come to those that are here and share nothing with them: prefill and
   * decode have one decoder and one pool.
   */
  boolean canAdd(Set<Stage> next) {
    Set<Stage> encode = Set.of(Stage.STAGE_ENCODE);
    Set<Stage> more = EnumSet.noneOf(Stage.class);
    more.addAll(next);
    more.removeAll(kinds());
    return next.containsAll(kinds())
        && !more.isEmpty()
        && (kinds().equals(encode) || more.equals(encode));
  }

  /**
   * How the stages take turns. Where a node encodes and decodes, and prompts are prefilled
   * elsewhere, a tile need not wait for a step of decode: all that waits for it is idle, and an
   * answer that goes on a little later has a token already.
   */
  EngineLoop.Steps steps() {
    boolean apart = kinds().equals(EnumSet.of(Stage.STAGE_ENCODE, Stage.STAGE_DECODE));
    List<BooleanSupplier> urgent = steps(stage -> apart && stage.kind() == Stage.STAGE_ENCODE);
    return new EngineLoop.Steps(steps(_ -> true), urgent);
  }

  private List<BooleanSupplier> steps(Predicate<io.epidote.node.Stage> which) {
    return stages.stream().filter(which).<BooleanSupplier>map(stage -> stage::runStep).toList();
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
