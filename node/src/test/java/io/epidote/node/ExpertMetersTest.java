package io.epidote.node;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.kernel.ExpertLoad;
import io.epidote.engine.kernel.ExpertSlots;
import io.epidote.proto.v1.ExpertLayer;
import io.epidote.proto.v1.ExpertStatus;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

final class ExpertMetersTest {
  private static final int EXPERTS = 4;

  @Test
  void theBusiestExpertAndTheUnevennessOfALayerAreTold() {
    ExpertSlots slots = new ExpertSlots(2, EXPERTS);
    ExpertLoad load = new ExpertLoad(2, EXPERTS, slots);
    SimpleMeterRegistry registry = new SimpleMeterRegistry();
    ExpertMeters meters = new ExpertMeters(load, new RoleMeters(registry));
    long[] base = requireNonNull(load.counts().get(ExpertLoad.BASE));
    long[] french = new long[2 * EXPERTS];
    load.counts().put("french", french);
    // Layer 0: experts have 100, 100, 500, 100. Layer 1 ran nothing.
    base[0] = 100;
    base[1] = 100;
    base[2] = 200;
    french[2] = 300;
    french[3] = 100;
    long now = System.nanoTime() + TimeUnit.SECONDS.toNanos(1);
    ExpertStatus status = meters.status(now);
    assertThat(status.getLayersList()).hasSize(1);
    ExpertLayer layer = status.getLayers(0);
    assertThat(layer.getImbalance()).isEqualTo(500 * 4 / 800.0);
    assertThat(layer.getHottest(0).getAdapter()).isEqualTo("french");
    assertThat(layer.getHottest(0).getExpert()).isEqualTo(2);
    assertThat(layer.getHottest(0).getShare()).isEqualTo(300 / 800.0);
    assertThat(layer.getHottestList()).hasSize(3);
    assertThat(registry.get("epidote.experts.imbalance").tag("layer", "0").gauge().value())
        .isEqualTo(2.5);
    assertThat(routed(registry, "french")).isEqualTo(400);
    assertThat(routed(registry, "(base)")).isEqualTo(400);

    // A minute later what was weighs a third, and counters go on.
    base[0] += 1000;
    status = meters.status(now + TimeUnit.MINUTES.toNanos(1));
    double old = Math.exp(-1);
    assertThat(status.getLayers(0).getImbalance())
        .isCloseTo((100 * old + 1000) * 4 / (800 * old + 1000), within(1e-9));
    assertThat(routed(registry, "(base)")).isEqualTo(1400);

    // Long after the last token no layer is busy.
    status = meters.status(now + TimeUnit.HOURS.toNanos(1));
    assertThat(status.getLayersList()).isEmpty();
    assertThat(registry.get("epidote.experts.imbalance").tag("layer", "0").gauge().value())
        .isZero();
  }

  private static double routed(SimpleMeterRegistry registry, String adapter) {
    return registry
        .get("epidote.experts.routed")
        .tag("layer", "0")
        .tag("adapter", adapter)
        .functionCounter()
        .count();
  }
}
