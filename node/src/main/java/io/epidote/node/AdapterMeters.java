package io.epidote.node;

import io.epidote.engine.tier.AdapterTiers;
import io.epidote.engine.tier.Tier;
import io.epidote.engine.tier.TierCounts;
import io.epidote.proto.v1.AdapterTierStatus;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import java.util.function.ToDoubleFunction;

/** Where adapters are, for those who watch. */
final class AdapterMeters {
  private AdapterMeters() {}

  static AdapterTierStatus describe(AdapterTiers tiers) {
    TierCounts counts = tiers.counts();
    return AdapterTierStatus.newBuilder()
        .setHotSlots(counts.hotSlots())
        .setHotBytes(counts.hotBytes())
        .setWarmBytes(counts.warmBytes())
        .setColdBytes(counts.coldBytes())
        .setSwitches(counts.switches())
        .setEvictions(counts.evictions())
        .setHits(counts.hits())
        .setWaits(counts.waits())
        .setReads(counts.reads())
        .setReadBytes(counts.readBytes())
        .setLongestWaitMs(counts.longestWaitNanos() / 1e6)
        .build();
  }

  static void register(AdapterTiers tiers, RoleMeters meters) {
    count(
        tiers,
        meters,
        "switches",
        "Adapters that became hot for waiting requests",
        TierCounts::switches);
    count(tiers, meters, "evictions", "Adapters that gave up their slots", TierCounts::evictions);
    count(tiers, meters, "hits", "Requests that found their adapter hot", TierCounts::hits);
    count(tiers, meters, "waits", "Requests that waited for their adapter", TierCounts::waits);
    count(tiers, meters, "reads", "Adapters that were read in beside steps", TierCounts::reads);
    bytes(tiers, meters, Tier.HOT, TierCounts::hotBytes);
    bytes(tiers, meters, Tier.WARM, TierCounts::warmBytes);
    bytes(tiers, meters, Tier.COLD, TierCounts::coldBytes);
    meters.add(
        Gauge.builder("epidote.adapter.slots.used", tiers, each -> each.counts().hotSlots())
            .description("Expert slots that hot adapters have")
            .register(meters.registry()));
  }

  private static void count(
      AdapterTiers tiers,
      RoleMeters meters,
      String name,
      String description,
      ToDoubleFunction<TierCounts> value) {
    meters.add(
        FunctionCounter.builder(
                "epidote.adapter." + name, tiers, each -> value.applyAsDouble(each.counts()))
            .description(description)
            .register(meters.registry()));
  }

  private static void bytes(
      AdapterTiers tiers, RoleMeters meters, Tier tier, ToDoubleFunction<TierCounts> value) {
    meters.add(
        Gauge.builder("epidote.adapter.bytes", tiers, each -> value.applyAsDouble(each.counts()))
            .tag("tier", tier.word())
            .description("Bytes of the adapters of a tier")
            .register(meters.registry()));
  }
}
