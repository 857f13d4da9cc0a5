package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Adapters;
import io.epidote.engine.model.Decoder;
import io.epidote.node.engine.EngineLoop;
import io.epidote.node.memory.MemoryAccount;
import io.grpc.BindableService;
import io.micrometer.core.instrument.MeterRegistry;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The role that a node has, and how it takes the place of another: its steps on the engine thread,
 * its numbers, its meters and its services. Changed by one thread at a time.
 */
final class Roles {
  private static final Logger log = LoggerFactory.getLogger(Roles.class);

  /** How long the engine thread may take to come to an exchange. */
  private static final Duration EXCHANGE = Duration.ofSeconds(60);

  private final NodeContext node;
  private final AdapterRoots roots;
  private final AdapterFolders folders;
  private final MeterRegistry meters;
  private final StageServices services;
  private final NodeState state;
  private final Installed nothing;
  private volatile Installed present;

  /** A role with what the node made for it. */
  private record Installed(Role role, StatusReport report, RoleMeters meters) {}

  /** What a role leaves behind: pools that nobody uses any more, and what was wrong with them. */
  private record Remains(MemoryAccount.Holdings holdings, @Nullable String discrepancy) {}

  /**
   * @param node of the first role
   * @param roots of folders that adapters may be loaded from by whoever reaches the node
   * @param folders of adapters that are loaded
   */
  Roles(
      NodeContext node,
      AdapterRoots roots,
      AdapterFolders folders,
      MeterRegistry meters,
      StageServices services,
      NodeState state) {
    this.node = requireNonNull(node, "node is null");
    this.roots = requireNonNull(roots, "roots is null");
    this.folders = requireNonNull(folders, "folders is null");
    this.meters = requireNonNull(meters, "meters is null");
    this.services = requireNonNull(services, "services is null");
    this.state = requireNonNull(state, "state is null");
    this.nothing = prepare(Role.none(node));
    this.present = nothing;
  }

  Role role() {
    return present.role();
  }

  StatusReport report() {
    return present.report();
  }

  /** Why new requests are refused, or null. */
  @Nullable String refusal() {
    String stuck = state.stuck();
    return stuck != null ? stuck : present.role().node().gate().closed();
  }

  /** What the first role runs; to be called before the engine thread is started. */
  EngineLoop.Steps begin(Role role) {
    present = prepare(role);
    return role.steps();
  }

  private Installed prepare(Role role) {
    RoleMeters own = new RoleMeters(meters);
    Optional<ExpertMeters> experts =
        role.models().stream()
            .filter(Decoder.class::isInstance)
            .flatMap(model -> ((Decoder) model).expertLoad().stream())
            .map(load -> new ExpertMeters(load, own))
            .findFirst();
    role.adapters()
        .ifPresent(all -> {
          AdapterMeters.register(all.tiers(), own);
          // Wakes the stages: one of them may have waited for what is read in now.
          all.tiers().onChange(() -> node.loop().execute(() -> {}));
        });
    node.meters().serve(role.kinds());
    StatusReport report = new StatusReport(node, role.stages(), role.adapters(), experts);
    report.register(own);
    return new Installed(role, report, own);
  }

  /**
   * Puts a role in the place of the present one, whose memory goes back to the system. The services
   * are those of neither until {@link #bind}.
   *
   * @param next null for none; closed here when it cannot take the place
   * @throws io.epidote.engine.error.EpidoteException.Unavailable when the engine thread is stuck;
   *     nothing has changed then
   */
  void exchange(@Nullable Role next, Runnable told) {
    Installed before = present;
    free(before.role(), install(next, next, told));
  }

  /**
   * Puts a role in the place of one whose stages all are among its own, and go on.
   *
   * @param next the present role with more
   * @param more what it has more; closed here when it cannot take the place
   * @throws io.epidote.engine.error.EpidoteException.Unavailable as {@link #exchange}
   */
  void extend(Role next, Role more, Runnable told) {
    var _ = install(next, more, told);
  }

  /**
   * @param made what is closed when the role cannot take the place
   */
  private Remains install(@Nullable Role next, @Nullable Role made, Runnable told) {
    EngineLoop loop = node.loop();
    Installed before = present;
    // Meters of both would have the same names.
    before.meters().close();
    Installed after = nothing;
    try {
      if (next != null) {
        after = prepare(next);
      }
      Installed coming = after;
      return loop.call(
          () -> {
            String found = before.report().discrepancy(loop::isDrained);
            if (found == null && !before.report().isIdle()) {
              found = "requests or leases are left";
            }
            Remains left = new Remains(before.report().holdings(), found);
            loop.exchange(coming.role().steps());
            present = coming;
            told.run();
            return left;
          },
          EXCHANGE);
    } catch (RuntimeException | Error e) {
      after.meters().close();
      if (made != null) {
        made.closeModels();
      }
      present = prepare(before.role());
      throw e;
    }
  }

  /** Closes what no step uses any more. */
  private void free(Role role, Remains remains) {
    role.closeModels();
    if (state.checked(remains.discrepancy())) {
      log.error("A role is given up whose accounts are wrong: {}", remains.discrepancy());
    }
    List<BlockPool> pools = new ArrayList<>(remains.holdings().media());
    pools.addAll(remains.holdings().kv());
    if (remains.discrepancy() == null) {
      // Somebody might read a block that is out of account; the others nobody can.
      pools.forEach(BlockPool::discard);
    }
  }

  /** Answers the services of the present role, and no others. */
  void bind() {
    Role role = present.role();
    List<BindableService> stages =
        role.stages().stream().flatMap(stage -> stage.services().stream()).toList();
    List<BindableService> others = new ArrayList<>();
    Optional<Adapters> adapters = role.adapters();
    adapters.ifPresent(all ->
        others.add(new AdapterEndpoint(node.nodeId(), all, roots, folders, role.node().gate())));
    services.bind(stages, others);
  }
}
