package io.epidote.kubernetes;

import static io.epidote.kubernetes.ApiServer.endpoint;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.discovery.Peer;
import io.epidote.proto.v1.Stage;
import java.time.Duration;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What Kubernetes says of a cluster, and is told. */
@Timeout(60)
class KubernetesViewTest {
  private final ApiServer server = new ApiServer();
  private final KubernetesView view = ApiServer.node(server.connect());

  @AfterEach
  void close() {
    view.close();
    server.close();
  }

  private static void awaitPeers(AtomicReference<Set<Peer>> peers, Peer... expected) {
    await()
        .atMost(Duration.ofSeconds(1))
        .pollInterval(Duration.ofMillis(5))
        .untilAsserted(() -> assertThat(peers.get()).containsExactlyInAnyOrder(expected));
  }

  @Test
  void slicesOfTheServicesAreToldAndTheirChangesWithinASecond() {
    server.slice("nodes", "a", endpoint("10.0.0.1", false), endpoint("10.0.0.2", false));
    server.slice("others", "a", endpoint("10.0.9.9", false));
    AtomicReference<Set<Peer>> peers = new AtomicReference<>(Set.of());
    view.watch(List.of("nodes", "more"), peers::set);
    Peer one = new Peer("nodes", "10.0.0.1", false);
    awaitPeers(peers, one, new Peer("nodes", "10.0.0.2", false));
    server.slice("nodes", "a", endpoint("10.0.0.1", false), endpoint("10.0.0.2", true));
    awaitPeers(peers, one, new Peer("nodes", "10.0.0.2", true));
    // While an endpoint moves from one slice to another it is in both.
    server.slice("nodes", "b", endpoint("10.0.0.2", false));
    awaitPeers(peers, one, new Peer("nodes", "10.0.0.2", false));
    server.slice("more", "a", endpoint("fd00::7", false));
    awaitPeers(
        peers, one, new Peer("nodes", "10.0.0.2", false), new Peer("more", "fd00::7", false));
    server.deleteSlice("nodes", "b");
    server.slice("nodes", "a", endpoint("10.0.0.1", false));
    awaitPeers(peers, one, new Peer("more", "fd00::7", false));
    assertThat(new Peer("more", "fd00::7", false).address(8001)).isEqualTo("[fd00::7]:8001");
  }

  @Test
  void rolesAreLabelsOfPods() {
    server.pod("node-1", Map.of("app.kubernetes.io/name", "epidote"));
    view.showRole("node-1", EnumSet.of(Stage.STAGE_DECODE, Stage.STAGE_PREFILL));
    assertThat(server.labels("node-1"))
        .containsEntry("llm-d.ai/role", "prefill-decode")
        .containsEntry("app.kubernetes.io/name", "epidote");
    view.showRole("node-1", EnumSet.of(Stage.STAGE_ENCODE));
    assertThat(server.labels("node-1")).containsEntry("llm-d.ai/role", "encode");
    // A node that is no pod is no error.
    view.showRole("laptop", EnumSet.of(Stage.STAGE_ENCODE));
  }

  @Test
  void anApiServerThatIsAwayIsSaidAndComesBack() {
    server.close();
    assertThatThrownBy(() -> view.showRole("node-1", EnumSet.of(Stage.STAGE_ENCODE)))
        .isInstanceOf(EpidoteException.Unavailable.class)
        .hasMessageContaining("node-1");
    AtomicReference<Set<Peer>> peers = new AtomicReference<>(Set.of());
    view.watch(List.of("nodes"), peers::set);
    assertThat(peers.get()).isEmpty();
    assertThat(view.leads()).isFalse();
  }

  @Test
  void aLeaseTimeThatIsTooShortIsExplained() {
    assertThatThrownBy(() -> new KubernetesView.Election("lease", "me", Duration.ofMillis(500)))
        .isInstanceOf(EpidoteException.InvalidRequest.class)
        .hasMessageContaining("2 s");
  }
}
