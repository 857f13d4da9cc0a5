package io.epidote.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class AdapterRootsTest {
  @TempDir Path folder;
  private Path root = Path.of("");
  private Path secret = Path.of("");

  @BeforeEach
  void write() throws IOException {
    root = Files.createDirectories(folder.resolve("root"));
    secret = Files.createDirectories(folder.resolve("secret"));
    Files.writeString(secret.resolve("weights"), "secret");
    Files.createDirectories(root.resolve("deep/french"));
  }

  private AdapterRoots roots() {
    return new AdapterRoots(List.of(root));
  }

  @Test
  void whatIsInARootIsFoundHoweverItIsNamed() throws IOException {
    Path french = root.resolve("deep/french").toRealPath();
    assertThat(roots().resolve(french.toString())).isEqualTo(french);
    assertThat(roots().resolve(root + "/deep/../deep/french")).isEqualTo(french);
    Path link = Files.createSymbolicLink(folder.resolve("link"), root.resolve("deep"));
    assertThat(roots().resolve(link.resolve("french").toString())).isEqualTo(french);
    // A root may be a link itself.
    assertThat(new AdapterRoots(List.of(link)).resolve(french.toString())).isEqualTo(french);
  }

  @Test
  void whatIsOutsideIsRefusedAndNothingIsToldOfIt() throws IOException {
    Path way = Files.createSymbolicLink(root.resolve("way-out"), secret);
    for (String outside :
        List.of(
            secret.toString(),
            root + "/../secret",
            way.toString(),
            folder + "/none",
            root + "ed")) {
      assertThatThrownBy(() -> roots().resolve(outside))
          .as(outside)
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining("--adapter-root");
      assertThatThrownBy(() -> roots().check(outside)).isInstanceOf(InvalidRequest.class);
    }
    assertThatThrownBy(() -> new AdapterRoots(List.of()).resolve(root.toString()))
        .isInstanceOf(InvalidRequest.class);
  }

  @Test
  void aFileThatIsALinkToTheOutsideIsRefused() throws IOException {
    Path french = root.resolve("deep/french");
    Files.createSymbolicLink(french.resolve("adapter.safetensors"), secret.resolve("weights"));
    assertThatThrownBy(() -> roots().resolve(french.toString()))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("adapter.safetensors");
  }

  @Test
  void aFolderThatIsNotThereIsToldOnlyWithinARoot() {
    String missing = root.resolve("none").toString();
    assertThatThrownBy(() -> roots().resolve(missing))
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining("no folder");
    // A router may not see what its nodes do.
    assertThat(roots().check(missing)).isEqualTo(Path.of(missing));
  }

  @Test
  void theUsualRootIsTheFolderOfTheModelAndNeverAll() {
    assertThat(AdapterRoots.beside(Path.of("/models/scenes")).roots())
        .containsExactly(Path.of("/models"));
    assertThat(AdapterRoots.beside(Path.of("/scenes")).roots()).containsExactly(Path.of("/scenes"));
  }
}
