package io.epidote.router.adapters;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * Lets no adapter change between a request's prefill and its decode. A request has taken the
 * adapter of its prefill node long before it takes that of its decode node; whoever would change
 * both waits until those on the way have arrived, and requests that come meanwhile wait until it is
 * done, which is soon: what takes long was done before. Thread-safe.
 */
public final class AdapterGate {
  private final Map<String, State> states = new HashMap<>();

  private static final class State {
    private int onTheWay;
    private boolean paused;
  }

  /** A request's way from its placement until decode has its adapter, too. */
  public final class Pass {
    private final String adapter;
    private boolean left;

    private Pass(String adapter) {
      this.adapter = adapter;
    }

    /** It has arrived, or is over. Only the first call does anything. */
    public void leave() {
      synchronized (AdapterGate.this) {
        State state = states.get(adapter);
        if (!left && state != null) {
          state.onTheWay--;
          forget(adapter, state);
          AdapterGate.this.notifyAll();
        }
        left = true;
      }
    }
  }

  /**
   * Waits while the adapter is being changed; for a virtual thread.
   *
   * @param adapter its name, empty for the base, which never changes
   */
  public synchronized Pass enter(String adapter) throws InterruptedException {
    Pass pass = new Pass(adapter);
    if (!adapter.isEmpty()) {
      while (state(adapter).paused) {
        wait();
      }
      state(adapter).onTheWay++;
    }
    return pass;
  }

  /**
   * Lets nobody in until {@link #resume}, and waits for those on the way.
   *
   * @return false when some have not arrived within {@code atMost}
   */
  synchronized boolean pause(String adapter, Duration atMost) throws InterruptedException {
    State state = state(adapter);
    state.paused = true;
    long deadline = System.nanoTime() + atMost.toNanos();
    while (state.onTheWay > 0) {
      long left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
      if (left <= 0) {
        return false;
      }
      wait(left);
    }
    return true;
  }

  synchronized void resume(String adapter) {
    State state = state(adapter);
    state.paused = false;
    forget(adapter, state);
    notifyAll();
  }

  /** Adapters that somebody is on the way to, or changes. */
  synchronized int size() {
    return states.size();
  }

  private State state(String adapter) {
    return states.computeIfAbsent(adapter, _ -> new State());
  }

  private void forget(String adapter, State state) {
    if (state.onTheWay == 0 && !state.paused) {
      states.remove(adapter, state);
    }
  }
}
