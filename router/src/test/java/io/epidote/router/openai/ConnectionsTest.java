package io.epidote.router.openai;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.router.access.Caller;
import io.epidote.router.access.HttpLimits;
import io.epidote.router.request.ByteBudget;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.netty.channel.embedded.EmbeddedChannel;
import java.net.InetAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Who goes when there are too many. */
class ConnectionsTest {
  private static final InetAddress HERE = InetAddress.getLoopbackAddress();

  private record Client(HttpConnection connection, EmbeddedChannel channel) {
    static Client of(Connections all) {
      HttpConnection connection =
          new HttpConnection(
              1 << 20, new ByteBudget(1 << 20), _ -> Caller.ANYBODY, _ -> {}, new Pace(), all);
      return new Client(connection, new EmbeddedChannel(connection));
    }

    /** Has sent a head, and so much of its body. */
    Client sends(int bytes) {
      connection.pace().head();
      connection.pace().body(bytes);
      return this;
    }
  }

  private static Connections all(int most, int perAddress) {
    return new Connections(
        HttpLimits.DEFAULT.withConnections(most, perAddress), new SimpleMeterRegistry());
  }

  @Test
  void theSlowestBodyGoesWhereNobodyIsIdleAndAQuickOneStays() {
    Connections all = all(2, 0);
    Client slow = Client.of(all).sends(10);
    Client quick = Client.of(all).sends(1 << 20);
    assertThat(all.admit(slow.connection(), HERE)).isTrue();
    assertThat(all.admit(quick.connection(), HERE)).isTrue();
    Client next = Client.of(all);
    // Both have only just begun.
    assertThat(all.admit(next.connection(), HERE)).isFalse();
    await().atMost(Duration.ofSeconds(10)).until(() -> all.admit(next.connection(), HERE));
    assertThat(slow.channel().isOpen()).isFalse();
    assertThat(quick.channel().isOpen()).isTrue();
    // Who is idle goes before any body.
    assertThat(all.admit(Client.of(all).sends(0).connection(), HERE)).isTrue();
    assertThat(next.channel().isOpen()).isFalse();
    assertThat(quick.channel().isOpen()).isTrue();
  }

  /** Whoever opens many gives way to itself and to others, and others never to it. */
  @Test
  void theAddressThatHasMostGivesWay() throws Exception {
    InetAddress crowd = InetAddress.getByName("10.0.0.9");
    Connections all = all(4, 0);
    Client idle = Client.of(all);
    assertThat(all.admit(idle.connection(), HERE)).isTrue();
    idle.connection().pace().head();
    idle.connection().pace().request();
    idle.connection().pace().answered();
    List<Client> many = new ArrayList<>();
    for (int i = 0; i < 20; i++) {
      Client one = Client.of(all);
      many.add(one);
      assertThat(all.admit(one.connection(), crowd)).isTrue();
    }
    assertThat(idle.channel().isOpen()).isTrue();
    assertThat(many).filteredOn(one -> one.channel().isOpen()).hasSize(3);
    assertThat(all.admit(Client.of(all).connection(), HERE)).isTrue();
    assertThat(many).filteredOn(one -> one.channel().isOpen()).hasSize(2);
    assertThat(idle.channel().isOpen()).isTrue();
  }

  /** Nobody has to go for another address, though all of the crowd are at work. */
  @Test
  void anEighthIsSparedForOthers() throws Exception {
    InetAddress crowd = InetAddress.getByName("10.0.0.9");
    Connections all = all(8, 0);
    for (int i = 0; i < 8; i++) {
      Client busy = Client.of(all);
      busy.connection().pace().head();
      busy.connection().pace().request();
      assertThat(all.admit(busy.connection(), crowd)).isEqualTo(i < 7);
    }
    assertThat(all.admit(Client.of(all).connection(), HERE)).isTrue();
  }

  /** Whoever has all of its own at work takes no place of others. */
  @Test
  void whoHasMostAndIsBusyIsRefused() throws Exception {
    InetAddress crowd = InetAddress.getByName("10.0.0.9");
    Connections all = all(3, 0);
    Client idle = Client.of(all);
    assertThat(all.admit(idle.connection(), HERE)).isTrue();
    for (int i = 0; i < 2; i++) {
      Client busy = Client.of(all);
      busy.connection().pace().head();
      busy.connection().pace().request();
      assertThat(all.admit(busy.connection(), crowd)).isTrue();
    }
    assertThat(all.admit(Client.of(all).connection(), crowd)).isFalse();
    assertThat(idle.channel().isOpen()).isTrue();
  }

  @Test
  void anAddressHasNoMoreThanItsShare() throws Exception {
    Connections all = all(10, 2);
    Client first = Client.of(all);
    assertThat(all.admit(first.connection(), HERE)).isTrue();
    assertThat(all.admit(Client.of(all).connection(), HERE)).isTrue();
    assertThat(all.admit(Client.of(all).connection(), HERE)).isFalse();
    assertThat(all.admit(Client.of(all).connection(), InetAddress.getByName("10.0.0.9"))).isTrue();
    all.leave(first.connection());
    assertThat(all.admit(Client.of(all).connection(), HERE)).isTrue();
  }
}
