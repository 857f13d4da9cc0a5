package io.epidote.router.rpc;

import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.v1.ExplainRequest;
import io.epidote.proto.v1.ExplainResponse;
import io.epidote.proto.v1.RoleAdminGrpc;
import io.epidote.proto.v1.SwitchRequest;
import io.epidote.proto.v1.SwitchResponse;
import io.epidote.router.roles.RoleController;
import io.grpc.stub.StreamObserver;

/** Roles of the cluster's nodes, over gRPC. Its calls may block: for virtual threads. */
public final class RoleAdminEndpoint extends RoleAdminGrpc.RoleAdminImplBase {
  private final RoleController roles;

  public RoleAdminEndpoint(RoleController roles) {
    this.roles = roles;
  }

  @Override
  public void switch_(SwitchRequest request, StreamObserver<SwitchResponse> response) {
    long start = System.nanoTime();
    SwitchResponse done;
    try {
      done =
          SwitchResponse.newBuilder()
              .addAllPhases(roles.switchNode(request).getPhasesList())
              .setTotalMs((System.nanoTime() - start) / 1e6)
              .build();
    } catch (RuntimeException e) {
      response.onError(GrpcErrors.toStatus(e));
      return;
    }
    response.onNext(done);
    response.onCompleted();
  }

  @Override
  public void explain(ExplainRequest request, StreamObserver<ExplainResponse> response) {
    response.onNext(roles.explain());
    response.onCompleted();
  }
}
