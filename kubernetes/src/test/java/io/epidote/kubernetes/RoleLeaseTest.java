package io.epidote.kubernetes;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.fabric8.kubernetes.api.model.coordination.v1.Lease;
import io.fabric8.kubernetes.client.KubernetesClient;
import java.time.Duration;
import java.time.ZonedDateTime;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Several processes and one Lease. */
@Timeout(60)
class RoleLeaseTest {
  private static final Duration TIME = Duration.ofSeconds(2);

  private final ApiServer server = new ApiServer();
  private final KubernetesClient first = server.connect();
  private final KubernetesClient second = server.connect();

  @AfterEach
  void close() {
    first.close();
    second.close();
    server.close();
  }

  private static RoleLease lease(KubernetesClient client, String identity) {
    return new RoleLease(client, ApiServer.NAMESPACE, ApiServer.LEASE, identity, TIME);
  }

  private Lease lease() {
    return second.leases().inNamespace(ApiServer.NAMESPACE).withName(ApiServer.LEASE).get();
  }

  @Test
  void oneOfManyHasItAndRenewsIt() {
    try (RoleLease a = lease(first, "a");
        RoleLease b = lease(second, "b");
        RoleLease c = lease(first, "c")) {
      await().until(() -> a.isHeld() || b.isHeld() || c.isHeld());
      String holder = server.holder();
      ZonedDateTime renewed = lease().getSpec().getRenewTime();
      await()
          .during(Duration.ofSeconds(3))
          .atMost(Duration.ofSeconds(4))
          .until(() -> (a.isHeld() ? 1 : 0) + (b.isHeld() ? 1 : 0) + (c.isHeld() ? 1 : 0) == 1);
      assertThat(server.holder()).isEqualTo(holder);
      assertThat(lease().getSpec().getRenewTime()).isAfter(renewed);
      assertThat(lease().getSpec().getLeaseTransitions()).isZero();
    }
  }

  @Test
  void aHolderThatIsLostIsFollowedWithinTheTimeAndNeverAtTheSameTime() {
    RoleLease a = lease(first, "a");
    await().until(a::isHeld);
    try (RoleLease b = lease(second, "b")) {
      AtomicBoolean both = new AtomicBoolean();
      // It goes on to think that it can renew, but nothing arrives.
      first.close();
      long lost = System.nanoTime();
      await()
          .pollInterval(Duration.ofMillis(2))
          .atMost(Duration.ofSeconds(10))
          .until(() -> {
            boolean taken = b.isHeld();
            both.compareAndSet(false, taken && a.isHeld());
            return taken;
          });
      Duration took = Duration.ofNanos(System.nanoTime() - lost);
      System.out.printf("The lease of %s was taken %d ms after%n", TIME, took.toMillis());
      assertThat(took).isLessThanOrEqualTo(TIME);
      assertThat(both).isFalse();
      assertThat(a.isHeld()).isFalse();
      assertThat(server.holder()).isEqualTo("b");
      assertThat(lease().getSpec().getLeaseTransitions()).isEqualTo(1);
    } finally {
      a.close();
    }
  }

  @Test
  void aHolderThatStopsGivesItUpAtOnce() {
    RoleLease a = lease(first, "a");
    await().until(a::isHeld);
    try (RoleLease b = lease(second, "b")) {
      a.close();
      assertThat(a.isHeld()).isFalse();
      await().atMost(Duration.ofMillis(800)).until(b::isHeld);
    }
  }

  @Test
  void aHolderThatIsRobbedStopsLeading() {
    try (RoleLease a = lease(first, "a")) {
      await().until(a::isHeld);
      second
          .resource(lease())
          .edit(present -> {
            present.getSpec().setHolderIdentity("thief");
            present.getSpec().setLeaseDurationSeconds(60);
            return present;
          });
      await().atMost(Duration.ofSeconds(1)).until(() -> !a.isHeld());
      assertThat(server.holder()).isEqualTo("thief");
    }
  }

  /** What another's clock wrote does not matter, only that it changes. */
  @Test
  void timesOfOtherClocksAreNotBelieved() {
    RoleLease a = lease(first, "a");
    await().until(a::isHeld);
    first.close();
    second
        .resource(lease())
        .edit(present -> {
          present.getSpec().setRenewTime(ZonedDateTime.now().plusHours(1));
          return present;
        });
    try (RoleLease b = lease(second, "b")) {
      await().atMost(TIME).until(b::isHeld);
    } finally {
      a.close();
    }
  }
}
