package io.epidote.router.adapters;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AdapterFolderWatchTest {
  @TempDir Path folder;
  private final List<String> done = new ArrayList<>();
  private Optional<EpidoteException> failure = Optional.empty();
  private long now = 1;

  private final AdapterFolderWatch.Changes changes =
      new AdapterFolderWatch.Changes() {
        @Override
        public void load(String name, Path adapter) {
          done.add("load " + name);
          failure.ifPresent(error -> {
            throw error;
          });
        }

        @Override
        public void unload(String name) {
          done.add("unload " + name);
        }
      };

  private List<String> after(AdapterFolderWatch watch, int scans) {
    done.clear();
    for (int i = 0; i < scans; i++) {
      now += AdapterFolderWatch.SETTLED.toNanos() / 4;
      watch.scan(now);
    }
    return List.copyOf(done);
  }

  private void write(String name, String content) throws IOException {
    Files.createDirectories(folder.resolve(name));
    Files.writeString(folder.resolve(name).resolve("weights"), content);
  }

  private AdapterFolderWatch watch() {
    return new AdapterFolderWatch(folder, changes);
  }

  @Test
  void whatComesChangesAndGoesIsLoadedReplacedAndUnloadedOnce() throws IOException {
    AdapterFolderWatch watch = watch();
    assertThat(after(watch, 10)).isEmpty();
    write("french", "one");
    write(".french.part", "not yet");
    Files.writeString(folder.resolve("a-file"), "no adapter");
    assertThat(after(watch, 20)).containsExactly("load french");
    write("french", "another");
    assertThat(after(watch, 20)).containsExactly("load french");
    Files.move(folder.resolve("french"), folder.resolve("json"));
    assertThat(after(watch, 20)).containsExactlyInAnyOrder("unload french", "load json");
    assertThat(after(watch, 20)).isEmpty();
  }

  @Test
  void whatIsStillBeingWrittenIsWaitedFor() throws IOException {
    AdapterFolderWatch watch = watch();
    Files.createDirectories(folder.resolve("slow"));
    assertThat(after(watch, 20)).as("nothing is in it").isEmpty();
    for (int i = 1; i < 12; i++) {
      write("slow", "x".repeat(i));
      assertThat(after(watch, 2)).as("write %d", i).isEmpty();
    }
    assertThat(after(watch, 10)).containsExactly("load slow");
  }

  /** A folder that another takes the place of is never gone. */
  @Test
  void aFolderThatIsMovedIntoAnothersPlaceIsReplaced() throws IOException {
    AdapterFolderWatch watch = watch();
    write("a", "one");
    assertThat(after(watch, 10)).containsExactly("load a");
    write(".new", "two");
    Files.move(folder.resolve("a"), folder.resolve(".old"));
    assertThat(after(watch, 1)).isEmpty();
    Files.move(folder.resolve(".new"), folder.resolve("a"), StandardCopyOption.ATOMIC_MOVE);
    assertThat(after(watch, 10)).containsExactly("load a");
  }

  @Test
  void aBadOneIsTriedOnceAndAgainWhenItChanges() throws IOException {
    AdapterFolderWatch watch = watch();
    failure = Optional.of(new BadCheckpoint("no adapter"));
    write("bad", "x");
    assertThat(after(watch, 30)).containsExactly("load bad");
    failure = Optional.empty();
    assertThat(after(watch, 30)).isEmpty();
    write("bad", "good now");
    assertThat(after(watch, 30)).containsExactly("load bad");
  }

  /** What was loaded from it goes on when a change is bad, and goes with its folder. */
  @Test
  void aBadChangeLeavesWhatThereWas() throws IOException {
    AdapterFolderWatch watch = watch();
    write("a", "x");
    assertThat(after(watch, 10)).containsExactly("load a");
    failure = Optional.of(new BadCheckpoint("no adapter"));
    write("a", "broken");
    assertThat(after(watch, 10)).containsExactly("load a");
    Files.delete(folder.resolve("a/weights"));
    Files.delete(folder.resolve("a"));
    assertThat(after(watch, 10)).containsExactly("unload a");
  }

  @Test
  void whatTheClusterCannotDoNowIsTriedAgain() throws IOException {
    AdapterFolderWatch watch = watch();
    failure = Optional.of(new Unavailable("no nodes"));
    write("a", "x");
    assertThat(after(watch, 30)).hasSizeGreaterThan(3).containsOnly("load a");
    failure = Optional.empty();
    assertThat(after(watch, 12)).containsExactly("load a");
  }

  /** An unmounted folder is no order to unload everything. */
  @Test
  void aFolderThatCannotBeReadChangesNothing() throws IOException {
    AdapterFolderWatch watch = watch();
    write("a", "x");
    assertThat(after(watch, 10)).containsExactly("load a");
    Path moved = folder.resolveSibling(folder.getFileName() + "-moved");
    Files.move(folder, moved);
    assertThat(after(watch, 20)).isEmpty();
    Files.move(moved, folder);
    assertThat(after(watch, 20)).isEmpty();
  }
}
