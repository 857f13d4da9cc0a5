package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** The bill of materials that the build has made says what is shipped, under which licences. */
class SbomTest {
  /** Whoever adds a part under another licence has to think about it here. */
  private static final Set<String> ACCEPTED =
      Set.of(
          "Apache-2.0",
          "MIT",
          "MIT-0",
          "BSD-2-Clause",
          "BSD-3-Clause",
          "EPL-1.0",
          "EPL-2.0",
          "CC0-1.0",
          "Public Domain",
          "The MIT License",
          "The BSD License");

  /** Parts whose own metadata says nothing, or less than the licence that comes with them. */
  private static final Map<String, String> BY_THEIR_OWN_FILES =
      Map.of(
          "com.hubspot.jinjava", "Apache-2.0",
          "com.hubspot.immutables", "Apache-2.0",
          "com.google.re2j", "BSD-3-Clause",
          // "The BSD License" of their POMs is taken for the old one of four clauses.
          "com.twelvemonkeys.common", "BSD-3-Clause",
          "com.twelvemonkeys.imageio", "BSD-3-Clause");

  @Test
  void everyPartHasALicenceThatIsAccepted() throws Exception {
    Path file = Home.folder().resolve("cli/target/bom.json");
    // The plugin looks licences up, and makes none where Maven is offline.
    assumeTrue(Files.exists(file), "Maven was offline: there is no bill of materials");
    JsonNode bom = new ObjectMapper().readTree(Files.readString(file));
    assertThat(bom.path("bomFormat").asText()).isEqualTo("CycloneDX");
    assertThat(bom.path("components").size()).isGreaterThan(50);
    List<String> refused = new ArrayList<>();
    for (JsonNode part : bom.path("components")) {
      if (part.path("group").asText().equals("io.epidote")) {
        continue;
      }
      List<String> licences = new ArrayList<>();
      for (JsonNode each : part.path("licenses")) {
        licences.add(
            each.has("expression")
                ? each.path("expression").asText()
                : each.path("license")
                    .path("id")
                    .asText(each.path("license").path("name").asText()));
      }
      String told = BY_THEIR_OWN_FILES.get(part.path("group").asText());
      if (told != null) {
        licences.add(told);
      }
      // One that is accepted is enough: where there are several, whoever ships may choose.
      if (licences.stream().noneMatch(ACCEPTED::contains)) {
        refused.add(part.path("purl").asText() + " " + licences);
      }
    }
    assertThat(refused).isEmpty();
  }
}
