package io.epidote.node.transfer;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.node.lease.LeaseTable;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.PullRequest;
import io.epidote.proto.stage.v1.ReleaseRequest;
import io.epidote.proto.stage.v1.ReleaseResponse;
import io.epidote.proto.stage.v1.RenewRequest;
import io.epidote.proto.stage.v1.RenewResponse;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.grpc.BindableService;
import io.grpc.MethodDescriptor;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;

/**
 * Gives other nodes the bytes behind this node's handles. The same contract as {@code
 * TransferServiceGrpc} on the wire and for reflection; only chunks are sent in another way. The
 * server that it is added to must have been through {@link BulkTransport#prepare}.
 */
public final class TransferServer implements BindableService {
  private final LeaseTable leases;
  private final ChunkSender sender;
  private final WireBuffers buffers = new WireBuffers();

  public TransferServer(LeaseTable leases, BulkTransport transport) {
    this.leases = requireNonNull(leases, "leases is null");
    this.sender = transport.sender();
  }

  @Override
  public ServerServiceDefinition bindService() {
    MethodDescriptor<PullRequest, OutgoingChunk> pull =
        TransferServiceGrpc.getPullMethod().toBuilder(
                TransferServiceGrpc.getPullMethod().getRequestMarshaller(), sender)
            .build();
    ServiceDescriptor generated = TransferServiceGrpc.getServiceDescriptor();
    return ServerServiceDefinition.builder(
            ServiceDescriptor.newBuilder(generated.getName())
                .setSchemaDescriptor(generated.getSchemaDescriptor())
                .addMethod(pull)
                .addMethod(TransferServiceGrpc.getReleaseMethod())
                .addMethod(TransferServiceGrpc.getRenewMethod())
                .build())
        .addMethod(pull, ServerCalls.asyncServerStreamingCall(this::pull))
        .addMethod(
            TransferServiceGrpc.getReleaseMethod(), ServerCalls.asyncUnaryCall(this::release))
        .addMethod(TransferServiceGrpc.getRenewMethod(), ServerCalls.asyncUnaryCall(this::renew))
        .build();
  }

  private void pull(PullRequest request, StreamObserver<OutgoingChunk> observer) {
    PullSession session;
    try {
      session =
          new PullSession(
              sender, buffers, (ServerCallStreamObserver<OutgoingChunk>) observer, request);
    } catch (EpidoteException e) {
      observer.onError(GrpcErrors.toStatus(e));
      return;
    }
    session.start(leases, request.getHandle());
  }

  private void release(ReleaseRequest request, StreamObserver<ReleaseResponse> observer) {
    int released = 0;
    for (Handle handle : request.getHandlesList()) {
      released += leases.release(handle) ? 1 : 0;
    }
    observer.onNext(ReleaseResponse.newBuilder().setReleased(released).build());
    observer.onCompleted();
  }

  private void renew(RenewRequest request, StreamObserver<RenewResponse> observer) {
    RenewResponse.Builder response = RenewResponse.newBuilder();
    for (Handle handle : request.getHandlesList()) {
      if (!leases.renew(handle)) {
        response.addLost(handle);
      }
    }
    observer.onNext(response.build());
    observer.onCompleted();
  }
}
