package io.epidote.node;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * Where the adapters of a node were loaded from, by name: another role's decoder is to have the
 * same. Thread-safe.
 */
final class AdapterFolders {
  private final Map<String, Path> folders = new TreeMap<>();

  /** What was there before a load that is not settled yet. */
  private final Map<String, Optional<Path>> held = new HashMap<>();

  AdapterFolders(Map<String, Path> folders) {
    this.folders.putAll(folders);
  }

  synchronized Map<String, Path> all() {
    return Map.copyOf(folders);
  }

  synchronized void loaded(String name, Path folder, boolean hold) {
    Optional<Path> before = Optional.ofNullable(folders.put(name, folder));
    if (hold) {
      held.put(name, before);
    } else {
      held.remove(name);
    }
  }

  synchronized void settled(String name, boolean keep) {
    Optional<Path> before = held.remove(name);
    if (before != null && !keep) {
      before.ifPresentOrElse(folder -> folders.put(name, folder), () -> folders.remove(name));
    }
  }

  synchronized void unloaded(String name) {
    folders.remove(name);
    held.remove(name);
  }
}
