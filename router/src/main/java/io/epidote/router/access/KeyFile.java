package io.epidote.router.access;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.NotFound;
import io.epidote.node.engine.Flow;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * The file of keys and of what tenants may: one JSON object. It has digests of keys only, so
 * whoever reads it cannot use them.
 *
 * @param keys of clients
 * @param tenants limits by name; who is not named has none
 */
public record KeyFile(List<ApiKey> keys, Map<String, TenantLimits> tenants) {
  private static final JsonMapper JSON =
      JsonMapper.builder()
          .enable(SerializationFeature.INDENT_OUTPUT)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private static final int SHA256_DIGITS = 64;

  public KeyFile(
      @JsonProperty("keys") @Nullable List<ApiKey> keys,
      @JsonProperty("tenants") @Nullable Map<String, TenantLimits> tenants) {
    this.keys = keys == null ? List.of() : List.copyOf(keys);
    this.tenants = tenants == null ? Map.of() : new TreeMap<>(tenants);
  }

  /**
   * @throws InvalidRequest when it cannot be read, or is something else
   */
  public static KeyFile read(Path file) {
    try {
      return parse(Files.readString(file));
    } catch (IOException e) {
      throw new InvalidRequest(
          "The file of API keys %s cannot be read (%s); 'epidote keys add' makes one"
              .formatted(file, e.getClass().getSimpleName()),
          e);
    }
  }

  static KeyFile parse(String text) {
    try {
      KeyFile read = JSON.readValue(text, KeyFile.class);
      for (ApiKey key : read.keys) {
        check(key);
      }
      read.tenants.keySet().forEach(KeyFile::tenant);
      return read;
    } catch (JsonProcessingException e) {
      throw new InvalidRequest(
          "The file of API keys is none: %s. Expected {\"keys\": [{\"id\", \"tenant\", \"sha256\", \"created\"}], \"tenants\": {NAME: {\"requests_per_second\", \"tokens_per_second\", \"tokens_per_day\", \"concurrent\"}}}"
              .formatted(e.getOriginalMessage().lines().findFirst().orElse("unreadable")),
          e);
    }
  }

  private static void check(@Nullable ApiKey key) {
    if (key == null
        || key.id() == null
        || key.sha256() == null
        || key.tenant() == null
        || !key.sha256().matches("[0-9a-f]{" + SHA256_DIGITS + "}")) {
      throw new InvalidRequest(
          "Each of the API keys needs id, tenant and sha256, which is 64 hexadecimal digits");
    }
    tenant(key.tenant());
  }

  private static void tenant(String name) {
    if (Flow.tenant("The tenant of an API key", name).isEmpty()) {
      throw new InvalidRequest("An API key needs a tenant");
    }
  }

  /** A file with a key more. */
  record Added(KeyFile file, String key) {}

  private Added with(String tenant, @Nullable TenantLimits limits) {
    tenant(tenant);
    String key = ApiKey.random();
    List<ApiKey> all = new ArrayList<>(keys);
    all.add(
        new ApiKey(
            ApiKey.idOf(key).orElseThrow(),
            tenant,
            java.util.HexFormat.of().formatHex(ApiKey.digest(key)),
            LocalDate.now(ZoneOffset.UTC).toString()));
    Map<String, TenantLimits> bounds = new HashMap<>(tenants);
    if (limits != null) {
      bounds.put(tenant, limits);
    }
    return new Added(new KeyFile(all, bounds), key);
  }

  /**
   * Adds a key to a file, which is made when it is not there.
   *
   * @param limits of the tenant from now on; null leaves them as they are
   * @return the key, which stands nowhere else
   * @throws InvalidRequest when the file or the tenant's name does not work
   */
  public static String add(Path file, String tenant, @Nullable TenantLimits limits) {
    KeyFile before = Files.exists(file) ? read(file) : new KeyFile(List.of(), Map.of());
    Added added = before.with(tenant, limits);
    added.file().write(file);
    return added.key();
  }

  /**
   * Takes a key out of a file.
   *
   * @throws NotFound when there is none of that id
   */
  public static void remove(Path file, String id) {
    KeyFile before = read(file);
    List<ApiKey> left = before.keys.stream().filter(key -> !key.id().equals(id)).toList();
    if (left.size() == before.keys.size()) {
      throw new NotFound(
          "There is no key %s in %s; 'epidote keys list' shows them".formatted(id, file));
    }
    new KeyFile(left, before.tenants).write(file);
  }

  /** A line for each key, without anything secret. */
  public List<String> lines() {
    return keys.stream()
        .map(key -> "%s  %s  %s".formatted(key.id(), key.created(), key.tenant()))
        .toList();
  }

  private void write(Path file) {
    Path absolute = file.toAbsolutePath();
    try {
      // At once, so that a router never reads half of it.
      Path next = absolute.resolveSibling(absolute.getFileName() + ".next");
      Files.deleteIfExists(next);
      Files.createFile(
          next, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
      Files.writeString(next, JSON.writeValueAsString(this) + "\n");
      Files.move(
          next, absolute, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (FileAlreadyExistsException e) {
      throw new InvalidRequest("Somebody else changes %s at this moment".formatted(file), e);
    } catch (IOException e) {
      throw new InvalidRequest(
          "The file of API keys %s cannot be written: %s".formatted(file, e), e);
    }
  }
}
