package io.epidote.node.trace;

import static java.util.Objects.requireNonNull;

import io.grpc.Metadata;
import io.grpc.ServerInterceptor;
import io.micrometer.observation.Observation;
import io.micrometer.observation.ObservationHandler.FirstMatchingCompositeObservationHandler;
import io.micrometer.observation.ObservationRegistry;
import io.micrometer.observation.transport.Kind;
import io.micrometer.observation.transport.ReceiverContext;
import io.micrometer.observation.transport.SenderContext;
import io.micrometer.tracing.Span;
import io.micrometer.tracing.handler.DefaultTracingObservationHandler;
import io.micrometer.tracing.handler.PropagatingReceiverTracingObservationHandler;
import io.micrometer.tracing.handler.PropagatingSenderTracingObservationHandler;
import io.micrometer.tracing.handler.TracingObservationHandler.TracingContext;
import io.micrometer.tracing.otel.bridge.OtelCurrentTraceContext;
import io.micrometer.tracing.otel.bridge.OtelPropagator;
import io.micrometer.tracing.otel.bridge.OtelTracer;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.propagation.ContextPropagators;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.samplers.Sampler;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/** Traces that are sent to a collector, in batches and beside the work; a slow one loses spans. */
final class OtlpTracing implements Tracing {
  private static final Duration BATCH = Duration.ofSeconds(1);
  private static final Duration TIMEOUT = Duration.ofSeconds(5);
  private static final int LAST_SECONDS = 3;

  private final SdkTracerProvider provider;
  private final ObservationRegistry observations = ObservationRegistry.create();
  private final Exemplars exemplars = new Exemplars();

  private OtlpTracing(SdkTracerProvider provider, String version) {
    this.provider = provider;
    OtelTracer tracer =
        new OtelTracer(
            provider.get("io.epidote", version), new OtelCurrentTraceContext(), event -> {});
    OtelPropagator propagator =
        new OtelPropagator(
            ContextPropagators.create(W3CTraceContextPropagator.getInstance()),
            provider.get("io.epidote", version));
    observations
        .observationConfig()
        .observationHandler(
            new FirstMatchingCompositeObservationHandler(
                new PropagatingReceiverTracingObservationHandler<>(tracer, propagator),
                new PropagatingSenderTracingObservationHandler<>(tracer, propagator),
                new DefaultTracingObservationHandler(tracer)));
  }

  static OtlpTracing start(
      URI endpoint, double ratio, String service, String instance, String version) {
    String base = endpoint.toString().replaceAll("/+$", "");
    Resource resource =
        Resource.getDefault()
            .merge(
                Resource.create(
                    Attributes.of(
                        AttributeKey.stringKey("service.namespace"),
                        "epidote",
                        AttributeKey.stringKey("service.name"),
                        "epidote-" + service,
                        AttributeKey.stringKey("service.instance.id"),
                        instance,
                        AttributeKey.stringKey("service.version"),
                        version)));
    SdkTracerProvider provider =
        SdkTracerProvider.builder()
            .setResource(resource)
            .setSampler(Sampler.parentBased(Sampler.traceIdRatioBased(ratio)))
            .addSpanProcessor(
                BatchSpanProcessor.builder(
                        OtlpHttpSpanExporter.builder()
                            .setEndpoint(base + "/v1/traces")
                            .setTimeout(TIMEOUT)
                            .build())
                    .setScheduleDelay(BATCH)
                    .setExporterTimeout(TIMEOUT)
                    .build())
            .build();
    return new OtlpTracing(provider, version);
  }

  @Override
  public OpenSpan receive(String name, TraceParent parent) {
    ReceiverContext<TraceParent> context =
        new ReceiverContext<>((carrier, header) -> carrier.get(header), Kind.SERVER);
    context.setCarrier(parent);
    return new Observed(
        Observation.createNotStarted("epidote.request", () -> context, observations)
            .contextualName(name)
            .start());
  }

  @Override
  public List<ServerInterceptor> forClients() {
    return List.of(new TraceParentInterceptor());
  }

  @Override
  public List<ServerInterceptor> forStages() {
    return List.of(new StageSpans(this));
  }

  @Override
  public Optional<Exemplars> exemplars() {
    return Optional.of(exemplars);
  }

  @Override
  public void close() {
    var unused = provider.shutdown().join(LAST_SECONDS, TimeUnit.SECONDS);
  }

  private final class Observed implements OpenSpan {
    private final Observation observation;
    private final Span span;
    private final AtomicBoolean ended = new AtomicBoolean();

    Observed(Observation observation) {
      this.observation = observation;
      TracingContext traced = observation.getContextView().getRequired(TracingContext.class);
      this.span = requireNonNull(traced.getSpan(), "an observation without a span");
    }

    @Override
    public OpenSpan call(String name, Metadata headers) {
      SenderContext<Metadata> context =
          new SenderContext<>(
              (carrier, header, value) -> {
                if (carrier != null) {
                  carrier.put(TraceParent.key(header), value);
                }
              },
              Kind.CLIENT);
      context.setCarrier(headers);
      return new Observed(
          Observation.createNotStarted("epidote.stage", () -> context, observations)
              .contextualName(name)
              .parentObservation(observation)
              .start());
    }

    @Override
    public boolean isRecorded() {
      return !span.isNoop() && Boolean.TRUE.equals(span.context().sampled());
    }

    @Override
    public String traceId() {
      return span.context().traceId();
    }

    @Override
    public String spanId() {
      return span.context().spanId();
    }

    @Override
    public void attribute(String key, String value) {
      span.tag(key, value);
    }

    @Override
    public void attribute(String key, long value) {
      span.tag(key, value);
    }

    @Override
    public void attribute(String key, double value) {
      span.tag(key, value);
    }

    @Override
    public void attribute(String key, List<String> values) {
      span.tagOfStrings(key, values);
    }

    @Override
    public void failed(String type, @Nullable String message) {
      span.tag("error.type", type);
      observation.error(new Failure(type + ": " + message));
    }

    @Override
    public void end() {
      if (ended.compareAndSet(false, true)) {
        observation.stop();
      }
    }
  }

  /** What a span says of an error: no stack, which is in the log. */
  private static final class Failure extends RuntimeException {
    private static final long serialVersionUID = 1;

    Failure(String message) {
      super(message, null, false, false);
    }
  }
}
