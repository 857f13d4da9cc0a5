package io.epidote.planner.sim;

import java.util.Arrays;

/**
 * Virtual time: what is to happen, in order; of what is to happen at the same moment, what was
 * planned first. A binary heap in arrays, because a request is some two hundred events.
 */
final class Events {
  private long[] times = new long[1024];
  private long[] ranks = new long[1024];
  private Runnable[] actions = new Runnable[1024];
  private int size;
  private long planned;
  private long now;

  /** Nanoseconds since the simulation began. */
  long now() {
    return now;
  }

  /** Plans something for a moment that is not over. */
  void at(long nanos, Runnable action) {
    if (nanos < now) {
      throw new IllegalArgumentException("%d ns is over; it is %d".formatted(nanos, now));
    }
    if (size == times.length) {
      times = Arrays.copyOf(times, 2 * size);
      ranks = Arrays.copyOf(ranks, 2 * size);
      actions = Arrays.copyOf(actions, 2 * size);
    }
    long rank = planned++;
    int place = size++;
    while (place > 0) {
      int parent = (place - 1) >>> 1;
      if (isBefore(times[parent], ranks[parent], nanos, rank)) {
        break;
      }
      move(parent, place);
      place = parent;
    }
    put(place, nanos, rank, action);
  }

  void after(long nanos, Runnable action) {
    at(now + nanos, action);
  }

  /** Lets the next thing happen; false when nothing is planned. */
  boolean runNext() {
    if (size == 0) {
      return false;
    }
    Runnable action = actions[0];
    now = times[0];
    size--;
    long nanos = times[size];
    long rank = ranks[size];
    Runnable last = actions[size];
    actions[size] = NOTHING;
    if (size > 0) {
      int place = 0;
      while (true) {
        int child = 2 * place + 1;
        if (child >= size) {
          break;
        }
        if (child + 1 < size
            && isBefore(times[child + 1], ranks[child + 1], times[child], ranks[child])) {
          child++;
        }
        if (isBefore(nanos, rank, times[child], ranks[child])) {
          break;
        }
        move(child, place);
        place = child;
      }
      put(place, nanos, rank, last);
    }
    action.run();
    return true;
  }

  private static final Runnable NOTHING = () -> {};

  private static boolean isBefore(long time, long rank, long otherTime, long otherRank) {
    return time < otherTime || (time == otherTime && rank < otherRank);
  }

  private void move(int from, int to) {
    put(to, times[from], ranks[from], actions[from]);
  }

  private void put(int place, long time, long rank, Runnable action) {
    times[place] = time;
    ranks[place] = rank;
    actions[place] = action;
  }
}
