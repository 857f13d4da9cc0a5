package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.stage.v1.DecodeServiceGrpc;
import io.epidote.proto.stage.v1.EncodeServiceGrpc;
import io.epidote.proto.stage.v1.PrefillServiceGrpc;
import io.epidote.proto.v1.AdapterAdminGrpc;
import io.grpc.BindableService;
import io.grpc.HandlerRegistry;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerInterceptors;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.StatusRuntimeException;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The services of a node's role, which change while the server runs. A call to a stage that the
 * node does not have ends with UNAVAILABLE, not with UNIMPLEMENTED: the caller is to ask another
 * node. Calls of stages are refused while the node takes no requests, and can be ended from any
 * thread when the engine thread does not answer. Thread-safe.
 */
final class StageServices extends HandlerRegistry {
  private static final List<ServiceDescriptor> STAGES =
      List.of(
          EncodeServiceGrpc.getServiceDescriptor(),
          PrefillServiceGrpc.getServiceDescriptor(),
          DecodeServiceGrpc.getServiceDescriptor());

  private final Map<String, ServerMethodDefinition<?, ?>> absent =
      Stream.concat(STAGES.stream(), Stream.of(AdapterAdminGrpc.getServiceDescriptor()))
          .flatMap(service -> service.getMethods().stream())
          .collect(Collectors.toMap(MethodDescriptor::getFullMethodName, StageServices::absent));

  private final Set<GuardedCall<?, ?>> open = ConcurrentHashMap.newKeySet();
  private final Supplier<@Nullable String> refusal;
  private volatile List<ServerServiceDefinition> services = List.of();
  private volatile Map<String, ServerMethodDefinition<?, ?>> methods = Map.of();

  /**
   * @param refusal why new calls of stages are refused, or null
   */
  StageServices(Supplier<@Nullable String> refusal) {
    this.refusal = requireNonNull(refusal, "refusal is null");
  }

  /**
   * From now on these are answered and no others; calls that are open go on.
   *
   * @param stages of stages, which are refused at times
   * @param others which are not
   */
  void bind(List<BindableService> stages, List<BindableService> others) {
    List<ServerServiceDefinition> bound =
        Stream.concat(
                stages.stream()
                    .map(service -> ServerInterceptors.intercept(service, this::intercept)),
                others.stream().map(BindableService::bindService))
            .toList();
    Map<String, ServerMethodDefinition<?, ?>> byName = new HashMap<>();
    for (ServerServiceDefinition service : bound) {
      for (ServerMethodDefinition<?, ?> method : service.getMethods()) {
        byName.put(method.getMethodDescriptor().getFullMethodName(), method);
      }
    }
    services = bound;
    methods = byName;
  }

  @Override
  public List<ServerServiceDefinition> getServices() {
    return services;
  }

  @Override
  public @Nullable ServerMethodDefinition<?, ?> lookupMethod(
      String methodName, @Nullable String authority) {
    ServerMethodDefinition<?, ?> bound = methods.get(methodName);
    return bound != null ? bound : absent.get(methodName);
  }

  /** Ends every open call of a stage. Its stage is told that the caller is gone. */
  void endAll(EpidoteException reason) {
    open.forEach(call -> call.end(reason));
  }

  private <Q, R> ServerCall.Listener<Q> intercept(
      ServerCall<Q, R> call, Metadata headers, io.grpc.ServerCallHandler<Q, R> next) {
    String why = refusal.get();
    if (why != null) {
      return refuse(call, why);
    }
    GuardedCall<Q, R> guarded = new GuardedCall<>(call, open);
    open.add(guarded);
    return guarded.start(next, headers);
  }

  private static ServerMethodDefinition<?, ?> absent(MethodDescriptor<?, ?> method) {
    String name = requireNonNull(method.getServiceName(), "service");
    String what =
        name.equals(AdapterAdminGrpc.SERVICE_NAME)
            ? "a decoder, to which adapters belong"
            : "the %s stage"
                .formatted(
                    name.substring(name.lastIndexOf('.') + 1, name.length() - "Service".length())
                        .toLowerCase(Locale.ROOT));
    return refusing(method, "This node does not have %s; ask another one.".formatted(what));
  }

  private static <Q, R> ServerMethodDefinition<Q, R> refusing(
      MethodDescriptor<Q, R> method, String why) {
    return ServerMethodDefinition.create(method, (call, _) -> refuse(call, why));
  }

  private static <Q, R> ServerCall.Listener<Q> refuse(ServerCall<Q, R> call, String why) {
    StatusRuntimeException status = GrpcErrors.toStatus(new EpidoteException.Unavailable(why));
    Metadata trailers = status.getTrailers();
    call.close(status.getStatus(), trailers == null ? new Metadata() : trailers);
    return new ServerCall.Listener<>() {};
  }
}
