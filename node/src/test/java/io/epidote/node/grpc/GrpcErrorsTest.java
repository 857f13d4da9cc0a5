package io.epidote.node.grpc;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.error.EpidoteException;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.List;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.Test;

final class GrpcErrorsTest {
  @Test
  void everyKindSurvivesTheWireWithItsMessage() {
    List<EpidoteException> kinds =
        List.of(
            new EpidoteException.InvalidRequest("one"),
            new EpidoteException.TooLarge("two"),
            new EpidoteException.NotFound("three"),
            new EpidoteException.Exhausted("four"),
            new EpidoteException.Unavailable("five"),
            new EpidoteException.BadCheckpoint("six"),
            new EpidoteException.Internal("seven", new IllegalStateException("cause")));
    for (EpidoteException kind : kinds) {
      StatusRuntimeException status = GrpcErrors.toStatus(kind);
      EpidoteException back = GrpcErrors.fromStatus(status);
      assertThat(back).hasSameClassAs(kind).hasMessage(kind.getMessage());
    }
  }

  @Test
  void statusCodesAreThoseThatTheContractNames() {
    assertThat(GrpcErrors.toStatus(new EpidoteException.TooLarge("x")).getStatus().getCode())
        .isEqualTo(Status.Code.INVALID_ARGUMENT);
    assertThat(GrpcErrors.toStatus(new EpidoteException.Exhausted("x")).getStatus().getCode())
        .isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
    assertThat(GrpcErrors.toStatus(new EpidoteException.Unavailable("x")).getStatus().getCode())
        .isEqualTo(Status.Code.UNAVAILABLE);
  }

  @Test
  void anUnknownErrorKeepsItsMessageToItself() {
    StatusRuntimeException status =
        GrpcErrors.toStatus(new CompletionException(new IllegalStateException("/secret/path")));
    assertThat(status.getStatus().getCode()).isEqualTo(Status.Code.INTERNAL);
    assertThat(status.getStatus().getDescription()).doesNotContain("secret");
  }

  @Test
  void aLostConnectionIsUnavailable() {
    assertThat(GrpcErrors.fromStatus(Status.UNAVAILABLE.withDescription("io").asException()))
        .isInstanceOf(EpidoteException.Unavailable.class)
        .hasMessage("io");
    assertThat(GrpcErrors.fromStatus(Status.DEADLINE_EXCEEDED.asException()))
        .isInstanceOf(EpidoteException.Unavailable.class);
  }

  @Test
  void aLongMessageIsCutSoThatTheTrailersFit() {
    StatusRuntimeException status =
        GrpcErrors.toStatus(new EpidoteException.InvalidRequest("x".repeat(100_000)));
    assertThat(status.getStatus().getDescription()).hasSizeLessThan(2_000);
  }
}
