package io.epidote.node.grpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.error.EpidoteException;
import io.grpc.Server;
import java.net.InetSocketAddress;
import org.junit.jupiter.api.Test;

final class GrpcTransportTest {
  @Test
  void aPortInUseIsNamedWithTheFlagThatChangesIt() {
    InetSocketAddress any = new InetSocketAddress("127.0.0.1", 0);
    Server first = GrpcTransport.start(GrpcTransport.server(any), any);
    try {
      InetSocketAddress taken = new InetSocketAddress("127.0.0.1", first.getPort());
      assertThatThrownBy(() -> GrpcTransport.start(GrpcTransport.server(taken), taken))
          .isInstanceOf(EpidoteException.Unavailable.class)
          .hasMessageContaining(String.valueOf(first.getPort()))
          .hasMessageContaining("in use")
          .hasMessageContaining("--port");
    } finally {
      first.shutdownNow();
    }
  }

  @Test
  void addressesAreReadAndBadOnesNamed() {
    assertThat(GrpcTransport.parse("[::1]:80").getHostString()).isEqualTo("::1");
    assertThat(GrpcTransport.parse("node-1:7070").getPort()).isEqualTo(7070);
    for (String bad : new String[] {"node", ":1", "node:", "node:x", "node:70000", ""}) {
      assertThatThrownBy(() -> GrpcTransport.parse(bad))
          .isInstanceOf(EpidoteException.InvalidRequest.class)
          .hasMessageContaining("host:port");
    }
  }

  @Test
  void thePoolSharesAChannelByAddressAndKind() {
    ChannelPool pool = new ChannelPool();
    var control = pool.channel("127.0.0.1:1", ChannelKind.CONTROL);
    assertThat(pool.channel("127.0.0.1:1", ChannelKind.CONTROL)).isSameAs(control);
    assertThat(pool.channel("127.0.0.1:1", ChannelKind.BULK)).isNotSameAs(control);
    pool.close();
    assertThat(control.isTerminated()).isTrue();
    assertThatThrownBy(() -> pool.channel("127.0.0.1:1", ChannelKind.BULK))
        .isInstanceOf(IllegalStateException.class);
  }
}
