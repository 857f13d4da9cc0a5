package io.epidote.router.adapters;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A folder whose subfolders are adapters by their names. What is new is loaded, what has changed is
 * loaded in its place, what is gone is unloaded; each when it has been the same for a while, so
 * that a copy that is under way is not taken for a whole one. A bad adapter is reported once and
 * changes nothing: what was there before goes on. It looks again and again instead of being told,
 * which works for network file systems, too. Belongs to one thread.
 */
public final class AdapterFolderWatch {
  private static final Logger log = LoggerFactory.getLogger(AdapterFolderWatch.class);

  /** For how long a subfolder must be the same. */
  static final Duration SETTLED = Duration.ofSeconds(2);

  private final Path folder;
  private final Changes changes;
  private final Map<String, Seen> seen = new TreeMap<>();
  private boolean unreadable;

  /** What becomes of what is found. */
  public interface Changes {
    /** Loads, in the place of what has that name. */
    void load(String name, Path folder);

    void unload(String name);
  }

  /** A subfolder as it was last seen. */
  private static final class Seen {
    private List<String> content = List.of();
    private long since;

    /** What was loaded, or found to be bad. */
    private List<String> handled = List.of();

    private boolean loaded;
    private String trouble = "";
  }

  public AdapterFolderWatch(Path folder, Changes changes) {
    this.folder = requireNonNull(folder, "folder is null").toAbsolutePath().normalize();
    this.changes = requireNonNull(changes, "changes is null");
  }

  /**
   * Looks once.
   *
   * @param now {@link System#nanoTime}
   */
  public void scan(long now) {
    Map<String, List<String>> found;
    try {
      found = contents();
      unreadable = false;
    } catch (IOException e) {
      // A folder that cannot be read says nothing about what is in it.
      if (!unreadable) {
        log.warn("Adapters in {} stay as they are: it cannot be read ({})", folder, e.toString());
      }
      unreadable = true;
      return;
    }
    found.keySet().forEach(name -> seen.computeIfAbsent(name, _ -> new Seen()));
    for (Map.Entry<String, Seen> entry : List.copyOf(seen.entrySet())) {
      look(entry.getKey(), entry.getValue(), found.getOrDefault(entry.getKey(), List.of()), now);
    }
  }

  private void look(String name, Seen of, List<String> content, long now) {
    if (of.since == 0 || !content.equals(of.content)) {
      of.content = content;
      of.since = now;
      return;
    }
    if (now - of.since < SETTLED.toNanos() || content.equals(of.handled) && !content.isEmpty()) {
      return;
    }
    try {
      if (!content.isEmpty()) {
        changes.load(name, folder.resolve(name));
        log.info("Adapter {} of {} is loaded", name, folder);
        of.loaded = true;
      } else if (of.loaded) {
        changes.unload(name);
        log.info("Adapter {} is unloaded: its folder is gone", name);
      }
      done(name, of, content);
      of.trouble = "";
    } catch (EpidoteException e) {
      String message = String.valueOf(e.getMessage());
      if (!message.equals(of.trouble)) {
        log.warn("Adapter {} stays as it was: {}", name, message);
        of.trouble = message;
      }
      if (isForGood(e)) {
        done(name, of, content);
      } else {
        of.since = now;
      }
    }
  }

  private void done(String name, Seen of, List<String> content) {
    of.handled = content;
    if (content.isEmpty()) {
      seen.remove(name);
    }
  }

  /** Whether it would fail again; otherwise no node is there, or one was lost, which passes. */
  private static boolean isForGood(EpidoteException error) {
    return switch (error) {
      case EpidoteException.BadCheckpoint _,
          EpidoteException.InvalidRequest _,
          EpidoteException.NotFound _,
          EpidoteException.TooLarge _ ->
          true;
      default -> false;
    };
  }

  /** By name, what is in each subfolder; of one that has no files, nothing. */
  private Map<String, List<String>> contents() throws IOException {
    Map<String, List<String>> contents = new TreeMap<>();
    try (Stream<Path> subfolders = Files.list(folder)) {
      for (Path subfolder : subfolders.toList()) {
        String name = subfolder.getFileName().toString();
        // Hidden ones are where copies are made ready.
        if (!name.startsWith(".") && Files.isDirectory(subfolder)) {
          contents.put(name, content(subfolder));
        }
      }
    }
    return contents;
  }

  private static List<String> content(Path subfolder) {
    List<String> files = new ArrayList<>();
    try (Stream<Path> all = Files.list(subfolder)) {
      for (Path file : all.sorted().toList()) {
        BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
        // Another folder under the same name may have the same files.
        files.add(
            "%s %d %s %s"
                .formatted(
                    file.getFileName(),
                    attributes.size(),
                    attributes.lastModifiedTime(),
                    file.toRealPath(new LinkOption[0])));
      }
    } catch (IOException e) {
      // It changes under our eyes: what is there is seen the next time.
      files.add(e.toString());
    }
    return files;
  }
}
