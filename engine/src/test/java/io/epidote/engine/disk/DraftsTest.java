package io.epidote.engine.disk;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DraftsTest {
  @TempDir Path folder;

  private Path draft(String name, Duration folderAge, Duration fileAge) throws IOException {
    Path draft = Files.createDirectory(folder.resolve(name));
    Path file = Files.writeString(draft.resolve("weights.bin"), "half");
    age(file, fileAge);
    age(draft, folderAge);
    return draft;
  }

  private static void age(Path file, Duration age) throws IOException {
    Files.setLastModifiedTime(file, FileTime.from(Instant.now().minus(age)));
  }

  @Test
  void onlyDraftsIntoWhichNobodyWritesAnyMoreAreRemoved() throws IOException {
    Path left = draft("draft-1", Duration.ofHours(3), Duration.ofHours(2));
    // Large files take long; the folder itself does not change meanwhile.
    Path writing = draft("draft-2", Duration.ofHours(3), Duration.ofMinutes(1));
    Path entry = draft("entry", Duration.ofHours(3), Duration.ofHours(3));
    Path file = Files.writeString(folder.resolve("draft-3"), "digest");
    age(file, Duration.ofHours(2));
    Drafts.removeOld(folder);
    assertThat(left).doesNotExist();
    assertThat(file).doesNotExist();
    assertThat(writing.resolve("weights.bin")).exists();
    assertThat(entry.resolve("weights.bin")).exists();
  }

  @Test
  void aFolderThatIsNotThereHasNone() {
    Drafts.removeOld(folder.resolve("cache"));
    assertThat(folder.resolve("cache")).doesNotExist();
  }
}
