package io.epidote.router.observe;

import io.epidote.router.cluster.Cluster;
import io.epidote.router.request.RequestFlow;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MultiGauge;
import io.micrometer.core.instrument.MultiGauge.Row;
import io.micrometer.core.instrument.Tags;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.prometheus.metrics.model.snapshots.InfoSnapshot;
import io.prometheus.metrics.model.snapshots.InfoSnapshot.InfoDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.Labels;
import io.prometheus.metrics.model.snapshots.MetricSnapshot;
import java.util.Map;

/**
 * Adapters by what they have to do, and vLLM's {@code lora_requests_info}, whose labels list them:
 * gateways that place requests where their adapter runs read it. Rows are what is there when they
 * are read: {@link #update} runs before.
 */
public final class AdapterMetrics {
  private final Cluster cluster;
  private final RequestFlow flow;
  private final MultiGauge requests;

  /** Registers the meters, which live as long as the router. */
  public AdapterMetrics(Cluster cluster, RequestFlow flow, PrometheusMeterRegistry meters) {
    this.cluster = cluster;
    this.flow = flow;
    this.requests =
        MultiGauge.builder("epidote_adapter_requests")
            .description("Requests of an adapter that are at work or wait to be admitted")
            .register(meters);
    Gauge.builder("epidote_adapters_loaded", cluster, each -> each.adapters().size())
        .description("Adapters that requests can name")
        .register(meters);
    // Micrometer has no gauge whose name ends so.
    meters.getPrometheusRegistry().register(this::info);
  }

  private MetricSnapshot info() {
    RequestFlow.AdapterUse use = flow.adapterUse();
    return InfoSnapshot.builder()
        .name("vllm:lora_requests")
        .help("Adapters with requests, in labels")
        .dataPoint(
            InfoDataPointSnapshot.builder()
                .labels(
                    Labels.of(
                        "max_lora",
                        Integer.toString(cluster.adapters().size()),
                        "running_lora_adapters",
                        String.join(",", use.running().keySet()),
                        "waiting_lora_adapters",
                        String.join(",", use.waiting().keySet())))
                .build())
        .build();
  }

  /** Looks at the adapters and their requests anew. */
  public void update() {
    RequestFlow.AdapterUse use = flow.adapterUse();
    requests.register(
        cluster.adapters().stream()
            .<Row<?>>map(name ->
                Row.of(
                    Tags.of("adapter", name),
                    count(use.running(), name) + count(use.waiting(), name)))
            .toList(),
        true);
  }

  private static int count(Map<String, Integer> use, String name) {
    return use.getOrDefault(name, 0);
  }
}
