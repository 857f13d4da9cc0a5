package io.epidote.node.engine;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;

/**
 * Keeps a step to so many distinct adapters: each has weights of its own to read. The base's
 * requests count for none. Whoever is passed over gets in by age: where steps end requests, because
 * the first in turn is never passed over; where requests last for many steps, because those
 * adapters go first that have had the fewest. Belongs to the engine thread.
 *
 * @param <A> what tells one adapter's weights from another's
 */
public final class AdapterCap<A> {
  private final int most;

  /** Steps that each adapter had while there were too many; who comes starts with the least. */
  private final Map<A, Long> steps = new HashMap<>();

  /**
   * @param most adapters of a step, at least 1
   */
  public AdapterCap(int most) {
    if (most < 1) {
      throw new IllegalArgumentException("a step holds at least one adapter");
    }
    this.most = most;
  }

  /** Those in turn whose adapters come first. */
  public <T> List<T> first(List<T> turns, Function<T, Optional<A>> adapter) {
    Set<A> adapters = distinct(turns, adapter);
    return adapters.size() <= most
        ? turns
        : only(turns, adapter, List.copyOf(adapters).subList(0, most));
  }

  /** Those whose adapters have had the fewest steps, and counts one more for these. */
  public <T> List<T> share(List<T> turns, Function<T, Optional<A>> adapter) {
    Set<A> adapters = distinct(turns, adapter);
    if (adapters.size() <= most) {
      steps.clear();
      return turns;
    }
    steps.keySet().retainAll(adapters);
    long least = steps.values().stream().mapToLong(Long::longValue).min().orElse(0);
    adapters.forEach(each -> steps.putIfAbsent(each, least));
    List<A> chosen =
        adapters.stream().sorted(Comparator.comparing(steps::get)).limit(most).toList();
    chosen.forEach(each -> steps.merge(each, 1L, Long::sum));
    return only(turns, adapter, chosen);
  }

  private static <T, A> Set<A> distinct(List<T> turns, Function<T, Optional<A>> adapter) {
    Set<A> adapters = new LinkedHashSet<>();
    turns.forEach(request -> adapter.apply(request).ifPresent(adapters::add));
    return adapters;
  }

  private static <T, A> List<T> only(
      List<T> turns, Function<T, Optional<A>> adapter, List<A> chosen) {
    List<T> in = new ArrayList<>();
    for (T request : turns) {
      if (adapter.apply(request).map(chosen::contains).orElse(true)) {
        in.add(request);
      }
    }
    return in;
  }
}
