package io.epidote.router.access;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.error.EpidoteException.Unauthenticated;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Who a client is by its API key. The file of keys is read again within two seconds when it has
 * changed; when it cannot be used then, the keys before stay. Thread-safe.
 */
public final class ApiKeys implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(ApiKeys.class);
  private static final Duration LOOK = Duration.ofSeconds(2);
  private static final String SCHEME = "Bearer ";

  /** What a key is compared with that no file has, so that both take as long. */
  private static final ApiKey NOBODY = new ApiKey("", "", "0".repeat(64), "");

  private final Optional<Path> file;
  private final Optional<ScheduledThreadPoolExecutor> timer;
  private volatile Known known = new Known("", Map.of(), Map.of());
  private String complained = "";

  private record Known(String text, Map<String, ApiKey> keys, Map<String, TenantLimits> tenants) {}

  /**
   * @param file of keys; empty: everybody is let in, as whoever they say they are
   * @throws EpidoteException.InvalidRequest when the file cannot be used
   */
  public ApiKeys(Optional<Path> file) {
    this.file = file;
    if (file.isPresent()) {
      KeyFile.read(file.get());
      take(text(file.get()));
      ScheduledThreadPoolExecutor looking =
          new ScheduledThreadPoolExecutor(
              1, Thread.ofPlatform().daemon().name("key-file").factory());
      looking.scheduleWithFixedDelay(
          this::look, LOOK.toMillis(), LOOK.toMillis(), TimeUnit.MILLISECONDS);
      timer = Optional.of(looking);
    } else {
      timer = Optional.empty();
    }
  }

  /** Whether clients need a key. */
  public boolean required() {
    return file.isPresent();
  }

  /**
   * Who a client is.
   *
   * @param authorization the header or metadata of that name, null for none
   * @throws Unauthenticated when a key is needed and this is none, says what is missing and not
   *     what was sent
   */
  public Caller caller(@Nullable String authorization) {
    if (!required()) {
      return Caller.ANYBODY;
    }
    if (authorization == null) {
      throw new Unauthenticated(
          "You sent no API key; send the header 'Authorization: Bearer KEY'.");
    }
    if (!authorization.regionMatches(true, 0, SCHEME, 0, SCHEME.length())) {
      throw new Unauthenticated(
          "The authorization is no API key; send the header 'Authorization: Bearer KEY'.");
    }
    String key = authorization.substring(SCHEME.length()).strip();
    ApiKey candidate =
        ApiKey.idOf(key).map(id -> known.keys().getOrDefault(id, NOBODY)).orElse(NOBODY);
    if (!candidate.isOf(key)) {
      throw new Unauthenticated(
          "The API key is not known here; ask whoever runs this router for another.");
    }
    return new Caller(candidate.tenant(), true);
  }

  /** How much a tenant may have. */
  public TenantLimits limits(String tenant) {
    return known.tenants().getOrDefault(tenant, TenantLimits.NONE);
  }

  private void look() {
    file.ifPresent(path -> {
      try {
        String text = text(path);
        if (!text.equals(known.text())) {
          take(text);
        }
      } catch (EpidoteException e) {
        complain(String.valueOf(e.getMessage()));
      }
    });
  }

  private static String text(Path path) {
    try {
      return Files.readString(path);
    } catch (IOException e) {
      throw new EpidoteException.InvalidRequest(
          "The file of API keys %s cannot be read (%s)"
              .formatted(path, e.getClass().getSimpleName()),
          e);
    }
  }

  private void take(String text) {
    KeyFile read = KeyFile.parse(text);
    Map<String, ApiKey> keys = new HashMap<>();
    read.keys().forEach(key -> keys.put(key.id(), key));
    known = new Known(text, Map.copyOf(keys), Map.copyOf(read.tenants()));
    complained = "";
    log.info("{} API keys are known", keys.size());
  }

  private void complain(String why) {
    if (!why.equals(complained)) {
      complained = why;
      log.warn("The changed file of API keys is not taken, the keys before stay: {}", why);
    }
  }

  @Override
  public void close() {
    timer.ifPresent(ScheduledThreadPoolExecutor::shutdownNow);
  }
}
