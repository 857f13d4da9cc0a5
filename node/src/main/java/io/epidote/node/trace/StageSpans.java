package io.epidote.node.trace;

import io.epidote.proto.stage.v1.DecodeResponse;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.PrefillResponse;
import io.epidote.proto.v1.StageTiming;
import io.grpc.ForwardingServerCall.SimpleForwardingServerCall;
import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCall.Listener;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A span for each call to a stage that is part of a trace: from the call to its end, with what the
 * stage accounts for as attributes.
 */
final class StageSpans implements ServerInterceptor {
  private static final Map<String, String> STAGES =
      Map.of(
          "epidote.stage.v1.EncodeService/Encode", "encode",
          "epidote.stage.v1.PrefillService/Prefill", "prefill",
          "epidote.stage.v1.DecodeService/Decode", "decode");

  private final Tracing tracing;

  StageSpans(Tracing tracing) {
    this.tracing = tracing;
  }

  @Override
  public <Q, R> Listener<Q> interceptCall(
      ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
    String stage = STAGES.get(call.getMethodDescriptor().getFullMethodName());
    TraceParent parent = TraceParent.of(headers);
    if (stage == null || parent.equals(TraceParent.NONE)) {
      return next.startCall(call, headers);
    }
    OpenSpan span = tracing.receive(stage, parent);
    span.attribute("epidote.stage", stage);
    return new SimpleForwardingServerCallListener<>(
        next.startCall(new Traced<>(call, span), headers)) {
      @Override
      public void onCancel() {
        span.failed("cancelled", "the caller gave up");
        span.end();
        super.onCancel();
      }
    };
  }

  private static final class Traced<Q, R> extends SimpleForwardingServerCall<Q, R> {
    private final OpenSpan span;

    Traced(ServerCall<Q, R> call, OpenSpan span) {
      super(call);
      this.span = span;
    }

    @Override
    public void sendMessage(R message) {
      StageTiming timing = timing(message);
      if (timing != null) {
        describe(timing);
      }
      super.sendMessage(message);
    }

    @Override
    public void close(Status status, Metadata trailers) {
      if (!status.isOk()) {
        span.failed(
            status.getCode().name(),
            status.getDescription() == null ? "" : status.getDescription());
      }
      span.end();
      super.close(status, trailers);
    }

    private void describe(StageTiming timing) {
      span.attribute("epidote.node", timing.getNodeId());
      span.attribute("epidote.precision", timing.getPrecision());
      span.attribute("epidote.queue_ms", timing.getQueueMs());
      span.attribute("epidote.compute_ms", timing.getComputeMs());
      span.attribute("epidote.transfer_ms", timing.getTransferMs());
      span.attribute("epidote.handoff_ms", timing.getHandoffMs());
      span.attribute("epidote.bytes_moved", timing.getBytesMoved());
      span.attribute("epidote.units", timing.getUnits());
      span.attribute("epidote.cached_units", timing.getCachedUnits());
    }

    private static @Nullable StageTiming timing(Object message) {
      return switch (message) {
        case EncodeResponse encode when encode.hasDone() -> encode.getDone().getTiming();
        case PrefillResponse prefill when prefill.hasDone() -> prefill.getDone().getTiming();
        case DecodeResponse decode when decode.hasDone() -> decode.getDone().getTiming();
        default -> null;
      };
    }
  }
}
