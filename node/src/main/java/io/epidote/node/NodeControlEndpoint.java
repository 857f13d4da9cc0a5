package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.stage.v1.NodeControlGrpc;
import io.epidote.proto.stage.v1.SwitchRoleRequest;
import io.epidote.proto.stage.v1.SwitchRoleResponse;
import io.epidote.proto.v1.Stage;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.EnumSet;
import java.util.Set;

/** What changes a node. A switch goes on when its caller is gone. */
final class NodeControlEndpoint extends NodeControlGrpc.NodeControlImplBase {
  private final RoleSwitch switches;

  NodeControlEndpoint(RoleSwitch switches) {
    this.switches = requireNonNull(switches, "switches is null");
  }

  @Override
  public void switchRole(SwitchRoleRequest request, StreamObserver<SwitchRoleResponse> response) {
    // Loading a model goes through native code, which holds on to a virtual thread's carrier.
    Thread.ofPlatform().name("epidote-switch").start(() -> answer(request, response));
  }

  private void answer(SwitchRoleRequest request, StreamObserver<SwitchRoleResponse> response) {
    SwitchRoleResponse answer;
    try {
      answer = switches.run(stages(request), request.getExpectedGeneration(), drain(request));
    } catch (RuntimeException | Error e) {
      response.onError(GrpcErrors.toStatus(e));
      return;
    }
    response.onNext(answer);
    response.onCompleted();
  }

  private static Set<Stage> stages(SwitchRoleRequest request) {
    Set<Stage> stages = EnumSet.noneOf(Stage.class);
    for (Stage stage : request.getStagesList()) {
      stages.add(stage == Stage.UNRECOGNIZED ? Stage.STAGE_UNSPECIFIED : stage);
    }
    return stages;
  }

  private static Duration drain(SwitchRoleRequest request) {
    return Duration.ofMillis(Integer.toUnsignedLong(request.getDrainMs()));
  }
}
