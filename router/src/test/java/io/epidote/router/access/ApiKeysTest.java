package io.epidote.router.access;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.epidote.engine.error.EpidoteException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ApiKeysTest {
  @TempDir Path folder;

  @Test
  void aKeySaysWhoseRequestItIsUntilItIsRemoved() throws Exception {
    Path file = folder.resolve("keys.json");
    String acme = KeyFile.add(file, "acme", new TenantLimits(5, 0, 0, 0));
    assertThat(Files.readString(file)).doesNotContain(acme.substring(17));
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
        .isEqualTo("rw-------");
    try (ApiKeys keys = new ApiKeys(Optional.of(file))) {
      assertThat(keys.caller("Bearer " + acme)).isEqualTo(new Caller("acme", true));
      assertThat(keys.limits("acme").requestsPerSecond()).isEqualTo(5);
      for (String wrong :
          new String[] {
            "Bearer",
            "Bearer ",
            "Basic " + acme,
            acme,
            "Bearer " + acme + "x",
            "Bearer " + acme.substring(0, acme.length() - 1) + (acme.endsWith("A") ? "B" : "A"),
            "Bearer " + ApiKey.random()
          }) {
        assertThatThrownBy(() -> keys.caller(wrong))
            .isInstanceOf(EpidoteException.Unauthenticated.class)
            .message()
            .doesNotContain("epk_");
      }
      assertThatThrownBy(() -> keys.caller(null))
          .isInstanceOf(EpidoteException.Unauthenticated.class);
      String other = KeyFile.add(file, "other", null);
      KeyFile.remove(file, ApiKey.idOf(acme).orElseThrow());
      await()
          .atMost(Duration.ofSeconds(10))
          .ignoreExceptions()
          .untilAsserted(() ->
              assertThat(keys.caller("Bearer " + other)).isEqualTo(new Caller("other", true)));
      assertThatThrownBy(() -> keys.caller("Bearer " + acme))
          .isInstanceOf(EpidoteException.Unauthenticated.class);
    }
  }

  @Test
  void aFileThatIsNoneIsExplained() throws Exception {
    Path file = folder.resolve("keys.json");
    assertThatThrownBy(() -> new ApiKeys(Optional.of(file))).hasMessageContaining("keys add");
    Files.writeString(file, "{\"keys\": [{\"id\": \"a\", \"tenant\": \"t\", \"sha256\": \"12\"}]}");
    assertThatThrownBy(() -> new ApiKeys(Optional.of(file))).hasMessageContaining("64 hexadecimal");
    Files.writeString(file, "{\"tenants\": {\"a\": {\"request_per_second\": 1}}}");
    assertThatThrownBy(() -> new ApiKeys(Optional.of(file)))
        .hasMessageContaining("request_per_second");
    assertThatThrownBy(() -> KeyFile.add(folder.resolve("new.json"), "no good", null))
        .isInstanceOf(EpidoteException.InvalidRequest.class);
  }

  @Test
  void aTenantCannotClaimToBeAnother() {
    Caller acme = new Caller("acme", true);
    assertThat(acme.tenant("")).isEqualTo("acme");
    assertThat(acme.tenant("acme")).isEqualTo("acme");
    assertThatThrownBy(() -> acme.tenant("other")).isInstanceOf(EpidoteException.Forbidden.class);
    assertThat(Caller.ANYBODY.tenant("other")).isEqualTo("other");
  }
}
