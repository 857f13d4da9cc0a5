package io.epidote.router.rpc;

import io.epidote.router.request.RequestHeaders;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import java.util.Optional;

/** Tells a call its metadata. */
public final class CallHeaders implements ServerInterceptor {
  private static final Context.Key<RequestHeaders> HEADERS = Context.key("epidote-headers");

  /** Of the call that this thread answers. */
  public static RequestHeaders current() {
    return Optional.ofNullable(HEADERS.get()).orElse(RequestHeaders.NONE);
  }

  @Override
  public <Q, R> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
    RequestHeaders said =
        new RequestHeaders(
            name -> headers.get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER)));
    return Contexts.interceptCall(Context.current().withValue(HEADERS, said), call, headers, next);
  }
}
