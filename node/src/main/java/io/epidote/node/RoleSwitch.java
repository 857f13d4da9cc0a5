package io.epidote.node;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.NativePages;
import io.epidote.node.memory.SystemMemory;
import io.epidote.node.metrics.Buckets;
import io.epidote.proto.stage.v1.SwitchRoleResponse;
import io.epidote.proto.v1.RolePhase;
import io.epidote.proto.v1.Stage;
import io.grpc.Status;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.time.Duration;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Gives a node other stages while its process goes on: hand over what waits, load the next role
 * beside what still runs, let that end, put the one in the place of the other, take requests again.
 * All of the old role goes, even a stage that both have; but where stages only come to those that
 * the node has, and share nothing with them, these go on and nothing waits. Where memory does not
 * hold both roles, the old one goes first. When the next one cannot be loaded, the node goes on
 * with what it had.
 */
final class RoleSwitch {
  private static final Logger log = LoggerFactory.getLogger(RoleSwitch.class);

  /** How long a router may take to hear of it. */
  private static final Duration TELL = Duration.ofMillis(500);

  private static final Duration WELCOME = Duration.ofSeconds(5);

  private final NodeContext node;
  private final Roles roles;
  private final RoleFactory factory;
  private final AdapterFolders folders;
  private final NodeState state;
  private final NodeReports reports;
  private final Registrations routers;
  private final MeterRegistry meters;
  private final SystemMemory memory = new SystemMemory();
  private final AtomicBoolean switching = new AtomicBoolean();
  private volatile boolean stopping;

  RoleSwitch(
      NodeContext node,
      Roles roles,
      RoleFactory factory,
      AdapterFolders folders,
      NodeState state,
      NodeReports reports,
      Registrations routers,
      MeterRegistry meters) {
    this.node = node;
    this.roles = roles;
    this.factory = factory;
    this.folders = folders;
    this.state = state;
    this.reports = reports;
    this.routers = routers;
    this.meters = meters;
    List.of("done", "failed").forEach(outcome -> outcome(meters, outcome));
    List.of("hand_over", "load", "drain", "unload", "admit").forEach(phase -> timer(meters, phase));
  }

  private static Counter outcome(MeterRegistry meters, String outcome) {
    return Counter.builder("epidote.role.switches")
        .tag("outcome", outcome)
        .description("Changes of the node's stages")
        .register(meters);
  }

  private static Timer timer(MeterRegistry meters, String phase) {
    return Timer.builder("epidote.role.phase")
        .tag("phase", phase)
        .description("Duration of one phase of a change of stages")
        .serviceLevelObjectives(Buckets.times())
        .register(meters);
  }

  /**
   * Switches. Blocks until the node serves with its new stages.
   *
   * @param drain how long running requests may take to end by themselves
   * @throws RuntimeException a gRPC status as the contract says; the node goes on as it was
   */
  SwitchRoleResponse run(Set<Stage> stages, long expectedGeneration, Duration drain) {
    if (stages.isEmpty() || stages.contains(Stage.STAGE_UNSPECIFIED)) {
      throw Status.INVALID_ARGUMENT
          .withDescription("No stages were asked for; expected some of encode, prefill, decode.")
          .asRuntimeException();
    }
    if (!switching.compareAndSet(false, true)) {
      throw Status.ABORTED
          .withDescription("Node %s is changing its stages already.".formatted(node.nodeId()))
          .asRuntimeException();
    }
    try {
      if (expectedGeneration != state.generation()) {
        throw Status.ABORTED
            .withDescription(
                "Node %s is at generation %d, not %d: its stages have changed since they were looked at."
                    .formatted(node.nodeId(), state.generation(), expectedGeneration))
            .asRuntimeException();
      }
      if (stopping || state.stuck() != null) {
        throw Status.UNAVAILABLE
            .withDescription("Node %s stops, or is stuck.".formatted(node.nodeId()))
            .asRuntimeException();
      }
      return roles.role().kinds().equals(stages)
          ? SwitchRoleResponse.newBuilder().setRoleGeneration(state.generation()).build()
          : new Attempt(stages, drain).run();
    } finally {
      switching.set(false);
    }
  }

  /** Lets no switch begin any more, and waits for one that is under way. */
  void stop(Duration bound) {
    stopping = true;
    long deadline = System.nanoTime() + bound.toNanos();
    while (switching.get() && System.nanoTime() < deadline) {
      try {
        TimeUnit.MILLISECONDS.sleep(5);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        return;
      }
    }
  }

  /** One switch. */
  private final class Attempt {
    private final Set<Stage> stages;
    private final Duration drain;
    private final Role old = roles.role();
    private final Drain requests = new Drain(node.loop(), node.leases(), roles::report);
    private final SwitchRoleResponse.Builder response = SwitchRoleResponse.newBuilder();
    private @Nullable CompletableFuture<Role> loading;

    private Attempt(Set<Stage> stages, Duration drain) {
      this.stages = stages;
      this.drain = drain;
    }

    SwitchRoleResponse run() {
      log.info("Changing stages from {} to {}", old.kinds(), stages);
      boolean beside;
      try {
        if (old.canAdd(stages) && fitsMore()) {
          return add();
        }
        beside = fitsBeside();
      } catch (RuntimeException | Error e) {
        throw failed(e);
      }
      String why = "The node is changing its stages.";
      state.draining(true);
      old.node().gate().close(why);
      try {
        timed("hand_over", () -> handOver(why));
        if (beside) {
          switchBeside(why);
        } else {
          switchAlone(why);
        }
      } catch (RuntimeException | Error e) {
        rollBack();
        throw failed(e);
      }
      timed("admit", this::admit);
      return done();
    }

    /** What the node has goes on meanwhile. */
    private SwitchRoleResponse add() {
      Set<Stage> missing = EnumSet.copyOf(stages);
      missing.removeAll(old.kinds());
      Role[] more = new Role[1];
      timed("load", () -> more[0] = load(old.node(), stages, missing));
      timed(
          "admit",
          () -> {
            roles.extend(old.plus(more[0]), more[0], reports::forget);
            roles.bind();
            state.nextGeneration();
            routers.registerAgain(WELCOME);
          });
      return done();
    }

    private SwitchRoleResponse done() {
      outcome(meters, "done").increment();
      log.info("The node has the stages {} now: {}", stages, response.getPhasesList());
      return response.setRoleGeneration(state.generation()).build();
    }

    private void handOver(String why) {
      routers.reportNow(TELL);
      requests.end(io.epidote.node.Stage.Scope.WAITING, why);
    }

    private void switchBeside(String why) {
      CompletableFuture<Role> next = new CompletableFuture<>();
      loading = next;
      long began = System.nanoTime();
      Thread.ofPlatform()
          .daemon()
          .name("epidote-load-" + node.nodeId())
          .start(() -> {
            try {
              Role made = load(stages);
              recordPhase("load", System.nanoTime() - began);
              next.complete(made);
            } catch (Throwable e) {
              next.completeExceptionally(e);
            }
          });
      long draining = System.nanoTime();
      drain(why, next::isCompletedExceptionally);
      long drained = System.nanoTime() - draining;
      Role made = next.join();
      loading = null;
      recordPhase("drain", drained);
      timed("unload", () -> replace(made));
    }

    private void switchAlone(String why) {
      timed("drain", () -> drain(why, () -> false));
      timed("unload", () -> replace(null));
      Role[] made = new Role[1];
      timed("load", () -> made[0] = load(stages));
      install(made[0]);
    }

    private Role load(Set<Stage> kinds) {
      return load(node.forNewRole(), kinds, kinds);
    }

    /**
     * @param kinds that the node will have
     * @param missing what is to be made of them
     */
    private Role load(NodeContext with, Set<Stage> kinds, Set<Stage> missing) {
      Role made = factory.make(with, kinds, missing, folders.all());
      made.adapters()
          .ifPresent(adapters ->
              folders
                  .all()
                  .forEach((name, folder) -> {
                    // Loaded while the role was being made.
                    if (adapters.list().stream().noneMatch(each -> each.name().equals(name))) {
                      var unused = adapters.load(name, folder, false);
                    }
                  }));
      return made;
    }

    private void drain(String why, BooleanSupplier giveUp) {
      boolean idle = requests.awaitIdle(drain, () -> stopping || giveUp.getAsBoolean());
      if (!idle && !giveUp.getAsBoolean() && !stopping) {
        requests.endAll(why, node.limits().lease(), node.limits().stall());
      }
      if (stopping) {
        throw new EpidoteException.Unavailable("The node stops.");
      }
    }

    private void replace(@Nullable Role next) {
      roles.exchange(next, reports::forget);
      // Buffers, swap space and views of pools are freed with what has them.
      System.gc();
      new NativePages().trim();
    }

    private void install(Role next) {
      roles.exchange(next, reports::forget);
    }

    private void admit() {
      roles.bind();
      state.nextGeneration();
      state.draining(false);
      routers.registerAgain(WELCOME);
    }

    private void rollBack() {
      CompletableFuture<Role> next = loading;
      if (next != null) {
        next.thenAccept(Role::closeModels);
      }
      if (roles.role() != old) {
        try {
          install(load(old.kinds()));
          roles.bind();
        } catch (RuntimeException | Error e) {
          log.error("The stages that the node had cannot be loaded again", e);
          state.lost(
              "The node has no stages: neither new ones nor those it had could be loaded (%s); restart it."
                  .formatted(e.getMessage()));
        }
      } else if (!stopping) {
        old.node().gate().open();
      }
      state.draining(stopping);
      routers.reportSoon();
    }

    private RuntimeException failed(Throwable error) {
      Throwable cause =
          error instanceof CompletionException wrapped && wrapped.getCause() != null
              ? wrapped.getCause()
              : error;
      log.error("The node goes on with {}: {} cannot be had", roles.role().kinds(), stages, cause);
      outcome(meters, "failed").increment();
      Status status =
          switch (cause) {
            case OutOfMemoryError _, EpidoteException.Exhausted _ -> Status.RESOURCE_EXHAUSTED;
            case EpidoteException.Unavailable _ -> Status.UNAVAILABLE;
            default -> Status.FAILED_PRECONDITION;
          };
      return status
          .withDescription(
              "Node %s goes on with %s; %s cannot be had: %s"
                  .formatted(node.nodeId(), roles.role().kinds(), stages, cause.getMessage()))
          .withCause(cause)
          .asRuntimeException();
    }

    /**
     * Whether memory holds both roles at a time.
     *
     * @throws EpidoteException.Exhausted when it does not even hold the next one alone
     */
    private boolean fitsBeside() {
      long needed = factory.bytes(stages);
      long available = memory.available();
      if (needed <= available) {
        return true;
      }
      long freed = factory.bytes(old.kinds());
      if (needed - freed > available) {
        throw new EpidoteException.Exhausted(
            "They take %,d bytes, but the system has %,d, and what the node has now would leave %,d; give it more memory or smaller pools."
                .formatted(needed, available, freed));
      }
      return false;
    }

    /** Whether memory holds what comes to the present role. */
    private boolean fitsMore() {
      return factory.bytes(stages) - factory.bytes(old.kinds()) <= memory.available();
    }

    private void timed(String phase, Runnable body) {
      long began = System.nanoTime();
      body.run();
      recordPhase(phase, System.nanoTime() - began);
    }

    private void recordPhase(String phase, long nanos) {
      synchronized (response) {
        response.addPhases(RolePhase.newBuilder().setName(phase).setMs(nanos / 1e6));
      }
      timer(meters, phase).record(nanos, TimeUnit.NANOSECONDS);
    }
  }
}
