package io.epidote.router.rpc;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.router.access.ApiKeys;
import io.epidote.router.access.Caller;
import io.epidote.router.request.GenerationRequest;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.StatusRuntimeException;
import java.util.Set;

/**
 * Lets clients with an API key call, where one is asked for, and tells the call who they are. Nodes
 * and whoever looks at health have none.
 */
public final class KeyCheck implements ServerInterceptor {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private static final Context.Key<Caller> CALLER = Context.key("epidote-caller");

  private final ApiKeys keys;
  private final Set<String> open;

  /**
   * @param open full names of services that need no key
   */
  public KeyCheck(ApiKeys keys, Set<String> open) {
    this.keys = keys;
    this.open = Set.copyOf(open);
  }

  /** Who makes the call that this thread answers. */
  static Caller caller() {
    // Nobody is anybody by default: another thread than the call's knows of no caller.
    return requireNonNull(CALLER.get(), "the call has not passed its key check");
  }

  /**
   * A request of the call that this thread answers, for the tenant whose key came with it.
   *
   * @throws EpidoteException.Forbidden when it names another tenant
   */
  public static GenerationRequest claimed(GenerationRequest request) {
    return request.withTenant(caller().tenant(request.tenant()));
  }

  @Override
  public <Q, R> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
    if (open.contains(String.valueOf(call.getMethodDescriptor().getServiceName()))) {
      return next.startCall(call, headers);
    }
    Caller caller;
    try {
      caller = keys.caller(headers.get(AUTHORIZATION));
    } catch (EpidoteException e) {
      StatusRuntimeException refusal = GrpcErrors.toStatus(e);
      Metadata trailers = refusal.getTrailers();
      call.close(refusal.getStatus(), trailers == null ? new Metadata() : trailers);
      return new ServerCall.Listener<>() {};
    }
    return Contexts.interceptCall(Context.current().withValue(CALLER, caller), call, headers, next);
  }
}
