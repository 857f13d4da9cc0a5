package io.epidote.node.lease;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.BlockPool;
import io.epidote.proto.stage.v1.Handle;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.function.Consumer;
import java.util.function.IntSupplier;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * The handles that a node has given out. Thread-safe.
 *
 * <p>A lease lives until it is released, revoked, or one period passes in which nobody renews it.
 * Its blocks are freed when it is over <em>and</em> no pull has it pinned: bytes are never handed
 * to another request while they are on their way. {@code onFree} runs exactly once, on the engine
 * thread.
 */
public final class LeaseTable {
  private static final class Lease {
    final Handle handle;
    final BlockPool pool;
    final int[] blocks;
    final Consumer<LeaseEnd> onFree;
    final List<Pin> pins = new ArrayList<>();
    long renewedAt;
    @Nullable LeaseEnd end;

    Lease(Handle handle, BlockPool pool, int[] blocks, Consumer<LeaseEnd> onFree) {
      this.handle = handle;
      this.pool = pool;
      this.blocks = blocks;
      this.onFree = onFree;
    }
  }

  private final String nodeId;
  private final Supplier<String> address;
  private final IntSupplier bulkPort;
  private final long epoch;
  private final long periodNanos;
  private final LongSupplier clock;
  private final Executor engine;
  private final Map<Long, Lease> leases = new HashMap<>();
  private final Map<LeaseEnd, Long> ends = new EnumMap<>(LeaseEnd.class);
  private long nextId = 1;
  private int outstanding;

  /**
   * @param nodeId and {@code epoch} name this life of this process; {@code address} is where its
   *     TransferService answers, and {@code bulkPort} where it is pulled from, 0 for the same
   * @param period how long a lease lives without being renewed
   * @param clock monotonic nanoseconds
   * @param engine runs {@code onFree}: the engine thread, which owns the blocks
   */
  public LeaseTable(
      String nodeId,
      Supplier<String> address,
      IntSupplier bulkPort,
      long epoch,
      Duration period,
      LongSupplier clock,
      Executor engine) {
    this.nodeId = requireNonNull(nodeId, "nodeId is null");
    this.address = requireNonNull(address, "address is null");
    this.bulkPort = requireNonNull(bulkPort, "bulkPort is null");
    this.epoch = epoch;
    this.periodNanos = period.toNanos();
    this.clock = requireNonNull(clock, "clock is null");
    this.engine = requireNonNull(engine, "engine is null");
  }

  /**
   * Leases blocks whose bytes are ready. The caller keeps its references until {@code onFree} runs
   * and drops them there.
   *
   * @param blocks what a puller gets, concatenated
   */
  public synchronized Handle grant(BlockPool pool, int[] blocks, Consumer<LeaseEnd> onFree) {
    if (blocks.length == 0) {
      throw new IllegalArgumentException("a lease needs at least one block");
    }
    Handle handle =
        Handle.newBuilder()
            .setNodeId(nodeId)
            .setAddress(address.get())
            .setId(nextId++)
            .setBytes((long) pool.blockBytes() * blocks.length)
            .setEpoch(epoch)
            .setBulkPort(bulkPort.getAsInt())
            .build();
    Lease lease = new Lease(handle, pool, blocks.clone(), onFree);
    lease.renewedAt = clock.getAsLong();
    leases.put(handle.getId(), lease);
    outstanding++;
    return handle;
  }

  /** Whether this life of this process gave the handle out. */
  public boolean isLocal(Handle handle) {
    return handle.getEpoch() == epoch && handle.getNodeId().equals(nodeId);
  }

  /**
   * Pins a lease for a pull, and renews it.
   *
   * @param onEnd runs when the lease ends under the pull, on any thread, outside all locks: the
   *     pull must stop soon and close its pin
   * @throws EpidoteException.NotFound when the lease is over or of an earlier process
   */
  public synchronized Pin acquire(Handle handle, Runnable onEnd) {
    Lease lease = live(handle);
    if (lease == null) {
      throw new EpidoteException.NotFound(
          "Handle %d of node %s (epoch %x) is not held here: it expired, was released, or is of an earlier process. Run the stage that made it again."
              .formatted(handle.getId(), handle.getNodeId(), handle.getEpoch()));
    }
    lease.renewedAt = clock.getAsLong();
    Pin pin = new Pin(lease, onEnd);
    lease.pins.add(pin);
    return pin;
  }

  /**
   * Takes over blocks of this process by reference: nothing is copied, and the lease ends as
   * released. Only on the engine thread, because the pool's accounts change.
   *
   * @return empty when the handle is another process's, or its lease is over (see {@link #isLocal})
   */
  public Optional<SharedBlocks> tryShare(Handle handle) {
    Lease lease;
    synchronized (this) {
      lease = live(handle);
      if (lease == null) {
        return Optional.empty();
      }
      // Before the lease ends, or its producer could free them in between.
      lease.pool.retain(lease.blocks);
    }
    end(handle, LeaseEnd.RELEASED);
    return Optional.of(new SharedBlocks(lease.pool, lease.blocks));
  }

  /** The consumer confirms. False when the lease was over already. */
  public boolean release(Handle handle) {
    return end(handle, LeaseEnd.RELEASED);
  }

  /** The producer takes the lease back. False when it was over already. */
  public boolean revoke(Handle handle) {
    return end(handle, LeaseEnd.REVOKED);
  }

  /** Keeps a lease for another period. False when it is over. */
  public synchronized boolean renew(Handle handle) {
    Lease lease = live(handle);
    if (lease == null) {
      return false;
    }
    lease.renewedAt = clock.getAsLong();
    return true;
  }

  /** Ends every lease that was not renewed within the period; call it regularly. */
  public int expire() {
    List<Handle> late = new ArrayList<>();
    synchronized (this) {
      long now = clock.getAsLong();
      for (Lease lease : leases.values()) {
        if (lease.end == null && now - lease.renewedAt >= periodNanos) {
          late.add(lease.handle);
        }
      }
    }
    int ended = 0;
    for (Handle handle : late) {
      ended += end(handle, LeaseEnd.EXPIRED) ? 1 : 0;
    }
    return ended;
  }

  /** Leases whose blocks the engine thread has not been told to free. */
  public synchronized int outstanding() {
    return outstanding;
  }

  /** Leases that this process has given out. */
  public synchronized long granted() {
    return nextId - 1;
  }

  /** Leases that ended so. */
  public synchronized long ended(LeaseEnd how) {
    return ends.getOrDefault(how, 0L);
  }

  /** Where the node's services answer. */
  public String address() {
    return address.get();
  }

  /** Leases whose bytes somebody pulls at this moment. */
  public synchronized int pinned() {
    return (int) leases.values().stream().filter(lease -> !lease.pins.isEmpty()).count();
  }

  private @Nullable Lease live(Handle handle) {
    Lease lease = isLocal(handle) ? leases.get(handle.getId()) : null;
    return lease == null || lease.end != null ? null : lease;
  }

  private boolean end(Handle handle, LeaseEnd end) {
    Lease lease;
    List<Pin> pins;
    synchronized (this) {
      lease = live(handle);
      if (lease == null) {
        return false;
      }
      lease.end = end;
      ends.merge(end, 1L, Long::sum);
      pins = List.copyOf(lease.pins);
      if (pins.isEmpty()) {
        free(lease, end);
      }
    }
    pins.forEach(pin -> pin.onEnd.run());
    return true;
  }

  private void free(Lease lease, LeaseEnd end) {
    leases.remove(lease.handle.getId());
    engine.execute(() -> lease.onFree.accept(end));
    // After the hand-over: whoever sees none outstanding finds every free in the engine's queue.
    outstanding--;
  }

  /** A pull's hold on a lease: the blocks stay as they are until it is closed. */
  public final class Pin implements AutoCloseable {
    private final Lease lease;
    private final Runnable onEnd;

    private Pin(Lease lease, Runnable onEnd) {
      this.lease = lease;
      this.onEnd = requireNonNull(onEnd, "onEnd is null");
    }

    /** Read-only views of the blocks, in order; not to be used after {@link #close}. */
    public List<ByteBuffer> buffers() {
      List<ByteBuffer> buffers = new ArrayList<>(lease.blocks.length);
      for (int block : lease.blocks) {
        lease.pool.parts(block).forEach(part -> buffers.add(part.asReadOnlyBuffer()));
      }
      return buffers;
    }

    /** Bytes moved: the lease lives for another period. */
    public void renew() {
      synchronized (LeaseTable.this) {
        lease.renewedAt = clock.getAsLong();
      }
    }

    /** Lets go; harmless when repeated. */
    @Override
    public void close() {
      synchronized (LeaseTable.this) {
        LeaseEnd end = lease.end;
        if (lease.pins.remove(this) && lease.pins.isEmpty() && end != null) {
          free(lease, end);
        }
      }
    }
  }
}
