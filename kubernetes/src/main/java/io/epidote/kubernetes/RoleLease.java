package io.epidote.kubernetes;

import static java.util.Objects.requireNonNull;

import io.fabric8.kubernetes.api.model.coordination.v1.Lease;
import io.fabric8.kubernetes.api.model.coordination.v1.LeaseBuilder;
import io.fabric8.kubernetes.api.model.coordination.v1.LeaseSpec;
import io.fabric8.kubernetes.client.KubernetesClient;
import io.fabric8.kubernetes.client.KubernetesClientException;
import io.fabric8.kubernetes.client.dsl.Resource;
import java.net.HttpURLConnection;
import java.time.Duration;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.temporal.ChronoUnit;
import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Holds a Lease of Kubernetes against other routers, or waits for it. Whoever holds it renews it;
 * who waits takes it when it has not changed for its duration, by the clock of who waits: times in
 * the Lease are for people, because clocks differ. A holder that could not renew stops leading well
 * before others may take the Lease, so no two lead at a time, a holder that stands still between
 * asking {@link #isHeld} and acting excepted.
 *
 * <p>Of the lease time {@code T}, within which another router leads when the holder is lost, the
 * Lease's duration is three quarters, in whole seconds; a quarter of the duration passes between
 * renewals and between looks, and after two thirds without one the holder gives up.
 */
final class RoleLease implements AutoCloseable {
  /** Below this a whole second is more than three quarters. */
  static final Duration SHORTEST = Duration.ofSeconds(2);

  private static final Logger log = LoggerFactory.getLogger(RoleLease.class);

  private final KubernetesClient client;
  private final String namespace;
  private final String name;
  private final String identity;
  private final Duration duration;
  private final ScheduledThreadPoolExecutor timer;

  // Of the timer's thread:
  private @Nullable Object seen;
  private long seenAt;
  private boolean failing;

  private volatile boolean held;

  /** When the last renewal that worked was begun. */
  private volatile long renewedAt;

  /**
   * @param identity unique among all routers that ever were
   * @param time within which another router leads when this one is lost; {@link #SHORTEST} at least
   */
  RoleLease(
      KubernetesClient client, String namespace, String name, String identity, Duration time) {
    this.client = requireNonNull(client, "client is null");
    this.namespace = requireNonNull(namespace, "namespace is null");
    this.name = requireNonNull(name, "name is null");
    this.identity = requireNonNull(identity, "identity is null");
    this.duration = Duration.ofSeconds(Math.max(1, time.toMillis() * 3 / 4 / 1000));
    this.timer =
        new ScheduledThreadPoolExecutor(
            1, Thread.ofPlatform().daemon().name("role-lease").factory());
    timer.execute(this::look);
  }

  /** Whether this process has the Lease now. */
  boolean isHeld() {
    return held && System.nanoTime() - renewedAt < duration.toNanos() * 2 / 3;
  }

  private void look() {
    long next = duration.toNanos() / 4;
    try {
      long until = seize();
      if (!held) {
        next = Math.min(next, until);
      }
      failing = false;
    } catch (RuntimeException e) {
      if (!failing) {
        log.warn("The Lease {} cannot be had or looked at: {}", name, e.getMessage());
      }
      failing = true;
    }
    if (held && !isHeld()) {
      lose("it could not be renewed");
    }
    if (!timer.isShutdown()) {
      timer.schedule(this::look, Math.max(next, 1_000_000), TimeUnit.NANOSECONDS);
    }
  }

  /**
   * Takes or renews the Lease where that may be done.
   *
   * @return nanoseconds until it may be taken
   */
  private long seize() {
    long begun = System.nanoTime();
    Resource<Lease> resource = client.leases().inNamespace(namespace).withName(name);
    Lease present = resource.get();
    LeaseSpec spec = present == null ? null : present.getSpec();
    String holder = spec == null ? null : spec.getHolderIdentity();
    boolean mine = identity.equals(holder);
    if (held && !mine) {
      lose("%s has it".formatted(holder));
    }
    if (holder != null && !holder.isEmpty() && !mine) {
      long left = unchanged(requireNonNull(spec), begun);
      if (left > 0) {
        return left;
      }
    }
    if (write(present, identity)) {
      renewedAt = begun;
      if (!held) {
        log.info("This router changes roles from now on: it has the Lease {}", name);
      }
      held = true;
    }
    return Long.MAX_VALUE;
  }

  /** How long somebody else's Lease must go on unchanged before it may be taken, nanoseconds. */
  private long unchanged(LeaseSpec spec, long now) {
    Object content = Arrays.asList(spec.getHolderIdentity(), spec.getRenewTime());
    if (!Objects.equals(content, seen)) {
      seen = content;
      seenAt = now;
    }
    Integer seconds = spec.getLeaseDurationSeconds();
    long wait = seconds == null ? duration.toNanos() : TimeUnit.SECONDS.toNanos(seconds);
    return wait - (System.nanoTime() - seenAt);
  }

  /** False when somebody else was faster. */
  private boolean write(@Nullable Lease present, String holder) {
    LeaseSpec before = present == null ? null : present.getSpec();
    boolean same = before != null && identity.equals(before.getHolderIdentity());
    ZonedDateTime now = ZonedDateTime.now(ZoneOffset.UTC).truncatedTo(ChronoUnit.MICROS);
    int transitions =
        before == null || before.getLeaseTransitions() == null ? 0 : before.getLeaseTransitions();
    Lease next =
        (present == null
                ? new LeaseBuilder()
                    .withNewMetadata()
                    .withNamespace(namespace)
                    .withName(name)
                    .endMetadata()
                : new LeaseBuilder(present))
            .editOrNewSpec()
            .withHolderIdentity(holder)
            .withLeaseDurationSeconds((int) duration.toSeconds())
            .withAcquireTime(same && before != null ? before.getAcquireTime() : now)
            .withRenewTime(now)
            .withLeaseTransitions(same || before == null ? transitions : transitions + 1)
            .endSpec()
            .build();
    try {
      // With the version that was read: the server refuses it when somebody wrote meanwhile.
      if (present == null) {
        client.resource(next).create();
      } else {
        client.resource(next).update();
      }
      return true;
    } catch (KubernetesClientException e) {
      if (e.getCode() == HttpURLConnection.HTTP_CONFLICT) {
        return false;
      }
      throw e;
    }
  }

  private void lose(String why) {
    held = false;
    seen = null;
    log.info("This router changes no roles any more: of the Lease {}, {}", name, why);
  }

  /** Gives the Lease up, so that another router has it at once. */
  @Override
  public void close() {
    timer.shutdown();
    try {
      if (!timer.awaitTermination(2, TimeUnit.SECONDS)) {
        timer.shutdownNow();
      }
      if (isHeld()) {
        held = false;
        Lease present = client.leases().inNamespace(namespace).withName(name).get();
        if (present != null && identity.equals(present.getSpec().getHolderIdentity())) {
          write(present, "");
        }
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (RuntimeException e) {
      log.warn("The Lease {} could not be given up; it will run out: {}", name, e.getMessage());
    }
  }
}
