package io.epidote.node.trace;

import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCall.Listener;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;

/** Puts the trace that a gRPC client names into the context of its call. */
final class TraceParentInterceptor implements ServerInterceptor {
  @Override
  public <Q, R> Listener<Q> interceptCall(
      ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
    TraceParent parent = TraceParent.of(headers);
    return parent.equals(TraceParent.NONE)
        ? next.startCall(call, headers)
        : Contexts.interceptCall(parent.in(Context.current()), call, headers, next);
  }
}
