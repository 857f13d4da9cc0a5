package io.epidote.node.metrics;

import static java.util.Objects.requireNonNull;

import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;

/**
 * {@code /metrics}: Prometheus's text format, or OpenMetrics for whoever asks for it, which alone
 * has exemplars. Thread-safe.
 */
public final class MetricsPage {
  /** What is sent. */
  public record Content(String type, byte[] bytes) {}

  private static final String OPEN_METRICS = "application/openmetrics-text";
  private static final String OPEN_METRICS_TYPE = OPEN_METRICS + "; version=1.0.0; charset=utf-8";
  private static final String TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

  private final PrometheusMeterRegistry meters;
  private final List<Runnable> before = new CopyOnWriteArrayList<>();

  public MetricsPage(PrometheusMeterRegistry meters) {
    this.meters = requireNonNull(meters, "meters is null");
  }

  /** Runs before each reading: for meters whose labels are what is there now. */
  public void before(Runnable update) {
    before.add(update);
  }

  /**
   * Reads all meters.
   *
   * @param accept the reader's Accept header, or null
   */
  public Content read(@Nullable String accept) {
    before.forEach(Runnable::run);
    String type = accept != null && accept.contains(OPEN_METRICS) ? OPEN_METRICS_TYPE : TEXT_TYPE;
    return new Content(type, meters.scrape(type).getBytes(StandardCharsets.UTF_8));
  }
}
