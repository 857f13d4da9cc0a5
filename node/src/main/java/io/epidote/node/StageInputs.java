package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.NodeConfig.Limits;
import io.epidote.node.lease.SharedBlocks;
import io.epidote.node.transfer.LeaseKeeper;
import io.epidote.node.transfer.PullEnd;
import io.epidote.node.transfer.PullGroup;
import io.epidote.node.wire.StageAccount;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.v1.Cost;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * What the requests of a stage are given by other stages: handles, whose leases are renewed until
 * somebody pulls or shares what is behind them, and the pulls. Belongs to the engine thread.
 */
public final class StageInputs {
  private static final double MIB = 1 << 20;

  private final NodeContext node;
  private final MeasuredCost cost = new MeasuredCost();
  private int ending;

  public StageInputs(NodeContext node) {
    this.node = requireNonNull(node, "node is null");
  }

  /** Requests that are over, but whose pulls still write into their blocks. */
  public int ending() {
    return ending;
  }

  /** What pulls of this stage take; a unit is a MiB. */
  public Cost pullCost() {
    return cost.toProto();
  }

  /**
   * The input of a new request.
   *
   * @param account is told of the time that pulls take
   * @param failed ends the request; runs on the engine thread, and not after {@link Inbox#close}
   */
  public Inbox open(StageAccount account, Consumer<EpidoteException> failed) {
    return new Inbox(account, failed);
  }

  /** What to tell a request that waited for too long. */
  public EpidoteException waitedTooLong(String what) {
    return new EpidoteException.Exhausted(
        "No room for the request's %s within %s; try again later or add nodes of this stage."
            .formatted(what, Limits.words(node.limits().maxWait())));
  }

  /** The input of one request. */
  public final class Inbox {
    private final StageAccount account;
    private final Consumer<EpidoteException> failed;
    private final Set<Handle> kept = new LinkedHashSet<>();
    private final Set<PullGroup> pulls = new HashSet<>();
    private @Nullable LeaseKeeper keeper;
    private @Nullable Runnable quiet;

    private Inbox(StageAccount account, Consumer<EpidoteException> failed) {
      this.account = account;
      this.failed = failed;
    }

    /** Whether this process gave the handle out: then what is behind it can be shared. */
    public boolean isHere(Handle handle) {
      return node.leases().isLocal(handle);
    }

    /**
     * Takes over blocks of this process by reference; the caller drops the references.
     *
     * @param what is behind the handle, for messages
     */
    public SharedBlocks share(Handle handle, String what) {
      return node.leases()
          .tryShare(handle)
          .orElseThrow(() ->
              new EpidoteException.Unavailable(
                  "The %s behind handle %d are gone from this node; run the stage that made them again."
                      .formatted(what, handle.getId())));
    }

    /** Renews the handle's lease until it is pulled, or until the request is over. */
    public void keep(Handle handle) {
      if (keeper == null) {
        keeper = node.transfers().keep(why -> node.loop().execute(() -> lost(why)));
      }
      kept.add(handle);
      keeper.add(handle);
    }

    private void lost(String why) {
      if (quiet == null) {
        failed.accept(new EpidoteException.Unavailable(why));
      }
    }

    /** Gives back a handle that is not needed. */
    public void drop(Handle handle) {
      forget(handle);
      giveBack(handle);
    }

    private void giveBack(Handle handle) {
      if (isHere(handle)) {
        node.leases().release(handle);
      } else {
        node.transfers().release(handle);
      }
    }

    /**
     * Pulls what is behind handles that were kept, all or nothing.
     *
     * @param arrived runs when all of it is here, unless the request is over by then
     */
    public void pull(List<PullGroup.Piece> pieces, Runnable arrived) {
      for (PullGroup.Piece piece : pieces) {
        // The pull renews the lease itself.
        forget(piece.handle());
      }
      account.transferStarted();
      PullGroup[] group = new PullGroup[1];
      group[0] =
          PullGroup.start(
              node.transfers(), node.loop(), pieces, end -> ended(group[0], end, arrived));
      pulls.add(group[0]);
    }

    private void forget(Handle handle) {
      kept.remove(handle);
      if (keeper != null) {
        keeper.remove(handle);
      }
    }

    private void ended(PullGroup group, PullEnd end, Runnable arrived) {
      pulls.remove(group);
      node.meters().pulled(end);
      account.transferEnded(end instanceof PullEnd.Pulled pulled ? pulled.moved() : 0);
      if (end instanceof PullEnd.Pulled whole) {
        cost.add(whole.bytes() / MIB, whole.nanos());
      }
      if (quiet != null) {
        if (pulls.isEmpty()) {
          ending--;
          quiet.run();
        }
        return;
      }
      switch (end) {
        case PullEnd.Pulled pulled -> arrived.run();
        case PullEnd.Failed failure -> failed.accept(failure.error());
        case PullEnd.Cancelled cancelled ->
            throw new IllegalStateException("a pull was cancelled although its request goes on");
      }
    }

    /** Whether a pull is writing. */
    public boolean isPulling() {
      return !pulls.isEmpty();
    }

    /**
     * The request is over: what nobody pulled is given back, and pulls are stopped.
     *
     * @param whenQuiet runs when no pull writes any more, which may be at once: frees the blocks
     *     that pulls wrote into
     */
    public void close(Runnable whenQuiet) {
      quiet = whenQuiet;
      if (keeper != null) {
        keeper.close();
      }
      kept.forEach(this::giveBack);
      if (pulls.isEmpty()) {
        whenQuiet.run();
      } else {
        ending++;
        pulls.forEach(PullGroup::cancel);
      }
    }
  }
}
