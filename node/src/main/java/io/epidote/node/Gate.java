package io.epidote.node;

import io.epidote.engine.error.EpidoteException;
import org.jspecify.annotations.Nullable;

/**
 * Whether one role of a node takes new requests. Stages ask on the engine thread, so that whatever
 * the engine thread does after a command that follows a {@link #close} finds it closed. A role that
 * is given up stays closed for ever: messages of calls that were opened before come late.
 * Thread-safe.
 */
public final class Gate {
  private volatile @Nullable String closed;

  /**
   * Lets nothing in any more.
   *
   * @param why for those who are refused
   */
  void close(String why) {
    closed = why;
  }

  /** Takes requests again. */
  void open() {
    closed = null;
  }

  /** Why nothing is let in, or null. */
  public @Nullable String closed() {
    return closed;
  }

  /**
   * Refuses a new request while the gate is closed.
   *
   * @throws EpidoteException.Unavailable upon which a router asks another node
   */
  public void check() {
    String why = closed;
    if (why != null) {
      throw new EpidoteException.Unavailable(why);
    }
  }
}
