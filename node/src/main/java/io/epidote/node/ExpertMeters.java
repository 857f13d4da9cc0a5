package io.epidote.node;

import io.epidote.engine.kernel.ExpertLoad;
import io.epidote.proto.v1.ExpertLayer;
import io.epidote.proto.v1.ExpertStatus;
import io.epidote.proto.v1.HotExpert;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What experts were given to do, for metrics and status. Metrics have a series for each layer and
 * adapter, not for each expert: how evenly tokens fall on those is a gauge of each layer. Belongs
 * to the engine thread, but for what metrics read.
 */
final class ExpertMeters {
  /** After which what was counted weighs a third. */
  private static final Duration WINDOW = Duration.ofMinutes(1);

  private static final Duration LEAST_INTERVAL = Duration.ofMillis(200);
  private static final int HOTTEST = 3;

  private final ExpertLoad load;
  private final RoleMeters meters;
  private final Map<String, Recent> recent = new HashMap<>();
  private final double[] imbalance;
  private long updated = System.nanoTime();
  private ExpertStatus status = ExpertStatus.getDefaultInstance();

  /** What an adapter's tokens, or the base's, did. */
  private static final class Recent {
    private final long[] seen;
    private final double[] weighted;

    /** Pairs of token and expert by layer, since the start. */
    private final long[] byLayer;

    Recent(int layers, int experts) {
      seen = new long[layers * experts];
      weighted = new double[layers * experts];
      byLayer = new long[layers];
    }
  }

  ExpertMeters(ExpertLoad load, RoleMeters meters) {
    this.load = load;
    this.meters = meters;
    this.imbalance = new double[load.layers()];
    for (int layer = 0; layer < load.layers(); layer++) {
      int index = layer;
      meters.add(
          Gauge.builder("epidote.experts.imbalance", imbalance, values -> values[index])
              .tag("layer", Integer.toString(layer))
              .description(
                  "Tokens of a layer's busiest expert over the mean of its experts, of late")
              .register(meters.registry()));
    }
    meters.add(
        Gauge.builder("epidote.experts.slots.lent", load, ExpertLoad::slotsLent)
            .description("Slots of experts' weights that adapters have")
            .register(meters.registry()));
  }

  /**
   * @param now {@link System#nanoTime}
   */
  ExpertStatus status(long now) {
    if (now - updated >= LEAST_INTERVAL.toNanos()) {
      double kept = Math.exp(-(double) (now - updated) / WINDOW.toNanos());
      load.counts().forEach((adapter, counts) -> update(adapter, counts, kept));
      status = describe();
      updated = now;
    }
    return status.toBuilder().setSlotsLent(load.slotsLent()).build();
  }

  private void update(String adapter, long[] counts, double kept) {
    Recent of = recent.computeIfAbsent(adapter, this::register);
    for (int i = 0; i < counts.length; i++) {
      long more = counts[i] - of.seen[i];
      of.weighted[i] = of.weighted[i] * kept + more;
      of.seen[i] = counts[i];
      of.byLayer[i / load.experts()] += more;
    }
  }

  private Recent register(String adapter) {
    Recent made = new Recent(load.layers(), load.experts());
    for (int layer = 0; layer < load.layers(); layer++) {
      int index = layer;
      meters.add(
          FunctionCounter.builder("epidote.experts.routed", made.byLayer, values -> values[index])
              .tag("layer", Integer.toString(layer))
              .tag("adapter", adapter.equals(ExpertLoad.BASE) ? "(base)" : adapter)
              .description("Pairs of token and expert that a layer ran")
              .register(meters.registry()));
    }
    return made;
  }

  private ExpertStatus describe() {
    ExpertStatus.Builder all = ExpertStatus.newBuilder();
    for (int layer = 0; layer < load.layers(); layer++) {
      describe(layer, all);
    }
    return all.build();
  }

  private void describe(int layer, ExpertStatus.Builder all) {
    int experts = load.experts();
    double[] together = new double[experts];
    List<HotExpert> busy = new ArrayList<>();
    double sum = 0;
    double most = 0;
    for (Recent of : recent.values()) {
      for (int expert = 0; expert < experts; expert++) {
        together[expert] += of.weighted[layer * experts + expert];
        sum += of.weighted[layer * experts + expert];
        most = Math.max(most, together[expert]);
      }
    }
    // What is left of what ran long ago is no load.
    if (sum < 1) {
      imbalance[layer] = 0;
      return;
    }
    imbalance[layer] = most * experts / sum;
    for (Map.Entry<String, Recent> of : recent.entrySet()) {
      for (int expert = 0; expert < experts; expert++) {
        double tokens = of.getValue().weighted[layer * experts + expert];
        if (tokens > 0) {
          busy.add(
              HotExpert.newBuilder()
                  .setExpert(expert)
                  .setAdapter(of.getKey())
                  .setShare(tokens / sum)
                  .build());
        }
      }
    }
    busy.sort(Comparator.comparingDouble(HotExpert::getShare).reversed());
    all.addLayers(
        ExpertLayer.newBuilder()
            .setLayer(layer)
            .setImbalance(imbalance[layer])
            .addAllHottest(busy.subList(0, Math.min(HOTTEST, busy.size()))));
  }
}
