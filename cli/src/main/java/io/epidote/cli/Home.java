package io.epidote.cli;

import io.epidote.engine.checkpoint.ModelShape;
import io.epidote.engine.checkpoint.RandomCheckpoint;
import java.nio.file.Files;
import java.nio.file.Path;

/** Where Epidote's own files are. */
final class Home {
  private Home() {}

  /** A model that ships. */
  static Path model(String name) {
    return folder().resolve("models").resolve(name);
  }

  /** The installation, as the launcher says it, or the working folder. */
  static Path folder() {
    return Path.of(System.getProperty("epidote.home", "")).toAbsolutePath();
  }

  /**
   * A model folder, or that of a shape's random weights, written first when it is not there.
   *
   * @param word a folder, or a shape's word
   */
  static Path modelOrShape(String word, Progress progress) {
    Path folder = Path.of(word);
    if (Files.isDirectory(folder)) {
      return folder;
    }
    ModelShape shape = ModelShape.ofWord(word);
    progress.update("writing random weights");
    return RandomCheckpoint.folder(cache().resolve("shapes"), shape);
  }

  /** Where graphs and converted weights are kept. */
  static Path cache() {
    String named = System.getenv("EPIDOTE_CACHE");
    if (named != null && !named.isBlank()) {
      return Path.of(named);
    }
    String xdg = System.getenv("XDG_CACHE_HOME");
    return xdg != null && !xdg.isBlank()
        ? Path.of(xdg, "epidote")
        : Path.of(System.getProperty("user.home"), ".cache", "epidote");
  }
}
