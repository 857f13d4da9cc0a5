package io.epidote.node.metrics;

import io.micrometer.core.instrument.binder.jvm.JvmGcMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmMemoryMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmThreadMetrics;
import io.micrometer.core.instrument.binder.system.FileDescriptorMetrics;
import io.micrometer.core.instrument.binder.system.ProcessorMetrics;
import io.micrometer.core.instrument.binder.system.UptimeMetrics;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.prometheus.metrics.model.snapshots.InfoSnapshot;
import io.prometheus.metrics.model.snapshots.InfoSnapshot.InfoDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.Labels;

/**
 * What a process tells of itself, by Micrometer's usual names: heap, collections, threads,
 * processors, files, uptime; and {@code epidote_info}, whose labels say what it is.
 */
public final class ProcessMetrics implements AutoCloseable {
  private final JvmGcMetrics collections = new JvmGcMetrics();

  private ProcessMetrics() {}

  /**
   * Registers the meters; closing stops listening to collections.
   *
   * @param role router or node
   * @param name of a node; of a router empty
   */
  public static ProcessMetrics register(
      PrometheusMeterRegistry meters, String role, String name, String model, String version) {
    ProcessMetrics process = new ProcessMetrics();
    process.collections.bindTo(meters);
    new JvmMemoryMetrics().bindTo(meters);
    new JvmThreadMetrics().bindTo(meters);
    new ProcessorMetrics().bindTo(meters);
    new FileDescriptorMetrics().bindTo(meters);
    new UptimeMetrics().bindTo(meters);
    // Micrometer has no gauge whose name ends so.
    InfoSnapshot info =
        InfoSnapshot.builder()
            .name("epidote")
            .help("What this process is")
            .dataPoint(
                InfoDataPointSnapshot.builder()
                    .labels(
                        Labels.of(
                            "role", role, "node", name, "model_name", model, "version", version))
                    .build())
            .build();
    meters.getPrometheusRegistry().register(() -> info);
    return process;
  }

  @Override
  public void close() {
    collections.close();
  }
}
