package io.epidote.node.engine;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.OptionalLong;

/**
 * Who is next among a stage's requests that wait. It decides on turns alone: whatever order there
 * is, nobody gets anything that would not have been theirs sooner or later, and answers are the
 * same.
 *
 * <p>Nobody is overtaken for ever: who has waited for {@code patience} goes before all who have
 * not, the oldest first.
 *
 * @param patience how long a request may be overtaken
 */
public record QueueOrder(Policy policy, Duration patience) {
  /** By what turns are given. */
  public enum Policy {
    /** First come, first served. */
    FCFS,
    /** Least computation left, first. */
    SJF,
    /**
     * Least slack first: what is left until the deadline beyond the computation. Who has no target,
     * or cannot meet it any more, comes after those who can: a place in front would be wasted.
     */
    SLACK;

    /**
     * @throws InvalidRequest when it is no order
     */
    public static Policy ofWord(String word) {
      return Arrays.stream(values())
          .filter(policy -> policy.word().equals(word.toLowerCase(Locale.ROOT)))
          .findFirst()
          .orElseThrow(() ->
              new InvalidRequest(
                  "'%s' is not an order; expected fcfs (first come, first served), sjf (shortest first) or slack (by what is left until the SLO)"
                      .formatted(word)));
    }

    public String word() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  /** The usual one. */
  public static final Duration PATIENCE = Duration.ofSeconds(10);

  public static final QueueOrder FCFS = of(Policy.FCFS);

  private static final int AGED = 0;
  private static final int REGULAR = 1;
  private static final int HOPELESS = 2;

  public QueueOrder {
    requireNonNull(policy, "policy is null");
    requireNonNull(patience, "patience is null");
  }

  /** With the usual patience. */
  public static QueueOrder of(Policy policy) {
    return new QueueOrder(policy, PATIENCE);
  }

  private record Ranked<T>(T request, int group, double key) {}

  /**
   * Requests in the order of their turns.
   *
   * @param arrived in the order in which they came
   * @param now {@link System#nanoTime}
   */
  public <T extends Waiting> List<T> sort(Collection<T> arrived, long now) {
    if (policy == Policy.FCFS || arrived.size() < 2) {
      return List.copyOf(arrived);
    }
    List<Ranked<T>> ranked = new ArrayList<>(arrived.size());
    arrived.forEach(request -> ranked.add(rank(request, now)));
    ranked.sort(Comparator.<Ranked<T>>comparingInt(Ranked::group).thenComparingDouble(Ranked::key));
    return ranked.stream().map(Ranked::request).toList();
  }

  private <T extends Waiting> Ranked<T> rank(T request, long now) {
    long waited = now - request.since();
    if (waited >= patience.toNanos()) {
      return new Ranked<>(request, AGED, -waited);
    }
    if (policy == Policy.SJF) {
      return new Ranked<>(request, REGULAR, request.remainingMs());
    }
    OptionalLong deadline = request.deadline();
    double slack =
        deadline.isEmpty() ? -1 : (deadline.getAsLong() - now) / 1e6 - request.remainingMs();
    return slack < 0 ? new Ranked<>(request, HOPELESS, 0) : new Ranked<>(request, REGULAR, slack);
  }
}
