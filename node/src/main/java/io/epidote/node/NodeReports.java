package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.node.engine.EngineLoop;
import io.epidote.node.memory.MemoryAccount;
import io.epidote.node.registry.RegistrationClient.Freshness;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.v1.MemoryUse;
import io.epidote.proto.v1.NodeStatus;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * What a node tells of itself. Its numbers belong to the engine thread. While that is in a long
 * step, what it said before is told again, with what is known without it: so whoever hears nothing
 * at all knows that the process is gone or stopped, not busy. Thread-safe.
 */
final class NodeReports {
  /** How long a periodic report waits for the engine thread. */
  private static final long RECENT_MS = 300;

  /** The same of a report that somebody asked for. */
  private static final long ASKED_MS = 1500;

  private final EngineLoop loop;
  private final NodeState state;
  private final Supplier<StatusReport> present;
  private final ScheduledExecutorService timer;
  private volatile NodeStatus latest = NodeStatus.getDefaultInstance();
  private volatile @Nullable NodeLoad known;
  private volatile List<MemoryUse> memory = List.of();

  /** Changed on the engine thread. */
  private volatile Object role = new Object();

  private volatile CompletableFuture<?> measuring = CompletableFuture.completedFuture(null);
  private volatile CompletableFuture<NodeLoad> taking =
      CompletableFuture.completedFuture(NodeLoad.getDefaultInstance());

  /**
   * @param present the report of the present role, on the engine thread
   */
  NodeReports(
      EngineLoop loop,
      NodeState state,
      Supplier<StatusReport> present,
      ScheduledExecutorService timer) {
    this.loop = requireNonNull(loop, "loop is null");
    this.state = requireNonNull(state, "state is null");
    this.present = requireNonNull(present, "present is null");
    this.timer = requireNonNull(timer, "timer is null");
  }

  /** For metrics, at most a tick old. */
  NodeStatus latest() {
    return latest;
  }

  /** Taken on the engine thread after what was handed over before. */
  CompletableFuture<NodeStatus> status() {
    return onEngine(report -> state.describe(report.take(memory)));
  }

  /** As a router is told it. */
  CompletableFuture<NodeLoad> load(Freshness freshness) {
    NodeLoad before = known;
    if (before != null && freshness == Freshness.KNOWN) {
      return CompletableFuture.completedFuture(described(before));
    }
    CompletableFuture<NodeLoad> fresh = fresh(freshness);
    if (before == null) {
      return fresh.thenApply(this::described);
    }
    return fresh
        .copy()
        .completeOnTimeout(
            before, freshness == Freshness.ASKED ? ASKED_MS : RECENT_MS, TimeUnit.MILLISECONDS)
        .thenApply(this::described);
  }

  /** Periodic reports share what is on its way: a thread that is stuck gets no pile of them. */
  private CompletableFuture<NodeLoad> fresh(Freshness freshness) {
    CompletableFuture<NodeLoad> before = taking;
    if (freshness != Freshness.ASKED && !before.isDone()) {
      return before;
    }
    CompletableFuture<NodeLoad> fresh =
        onEngine(report -> {
          NodeLoad load = report.load(memory);
          known = load;
          latest = state.describe(load.getStatus());
          return load;
        });
    taking = fresh;
    return fresh;
  }

  private NodeLoad described(NodeLoad load) {
    return load.toBuilder().setStatus(state.describe(load.getStatus())).build();
  }

  /** The role is another: what was known of the one before says nothing. On the engine thread. */
  void forget() {
    known = null;
    role = new Object();
    memory = List.of();
  }

  void tick() {
    fresh(Freshness.RECENT);
  }

  /** What there is to measure is asked of the engine thread; it is measured beside it. */
  void measureMemory() {
    if (measuring.isDone()) {
      Object measured = role;
      measuring =
          onEngine(StatusReport::holdings)
              .thenAcceptAsync(
                  held -> {
                    List<MemoryUse> uses = MemoryAccount.measureShared(held);
                    if (role == measured) {
                      memory = uses;
                    }
                  },
                  timer);
    }
  }

  private <T> CompletableFuture<T> onEngine(Function<StatusReport, T> asked) {
    CompletableFuture<T> future = new CompletableFuture<>();
    loop.execute(() -> {
      try {
        future.complete(asked.apply(present.get()));
      } catch (RuntimeException e) {
        future.completeExceptionally(e);
      }
    });
    return future;
  }
}
