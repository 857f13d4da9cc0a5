package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.micrometer.core.instrument.Meter;
import io.micrometer.core.instrument.MeterRegistry;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * Meters that read the models of one role. They are removed with it: a registry would otherwise
 * give the next role's meters to the models of this one, and keep them from being freed.
 */
final class RoleMeters implements AutoCloseable {
  private final MeterRegistry registry;
  private final List<Meter> meters = new CopyOnWriteArrayList<>();

  RoleMeters(MeterRegistry registry) {
    this.registry = requireNonNull(registry, "registry is null");
  }

  /** Where meters are registered that are then given to {@link #add}. */
  MeterRegistry registry() {
    return registry;
  }

  void add(Meter meter) {
    meters.add(meter);
  }

  @Override
  public void close() {
    meters.forEach(registry::remove);
    meters.clear();
  }
}
