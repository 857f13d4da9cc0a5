package io.epidote.node.trace;

import io.prometheus.metrics.tracer.common.SpanContext;
import org.jspecify.annotations.Nullable;

/**
 * Lets histograms name a trace beside what it was measured for: whoever records within {@link
 * #record} does it for that span.
 */
public final class Exemplars implements SpanContext {
  private static final ThreadLocal<@Nullable OpenSpan> CURRENT = new ThreadLocal<>();

  Exemplars() {}

  /** Records measurements of a span. */
  public static void record(OpenSpan span, Runnable measurements) {
    if (!span.isRecorded()) {
      measurements.run();
      return;
    }
    OpenSpan before = CURRENT.get();
    CURRENT.set(span);
    try {
      measurements.run();
    } finally {
      CURRENT.set(before);
    }
  }

  @Override
  public @Nullable String getCurrentTraceId() {
    OpenSpan span = CURRENT.get();
    return span == null ? null : span.traceId();
  }

  @Override
  public @Nullable String getCurrentSpanId() {
    OpenSpan span = CURRENT.get();
    return span == null ? null : span.spanId();
  }

  @Override
  public boolean isCurrentSpanSampled() {
    return CURRENT.get() != null;
  }

  @Override
  public void markCurrentSpanAsExemplar() {}
}
