package io.epidote.cli;

import io.epidote.engine.checkpoint.ModelShape;
import io.epidote.engine.checkpoint.RandomCheckpoint;
import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.emulated.EmulatedShape;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

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
   * A cost profile.
   *
   * @param word the name of one that ships, a JSON file, or costs
   */
  static CostProfile profile(String word) {
    Path shipped = folder().resolve("profiles").resolve(word + ".json");
    return word.matches("[\\w.-]+") && Files.isRegularFile(shipped)
        ? CostProfile.parse(shipped.toString())
        : CostProfile.parse(word);
  }

  /** What {@link #profile} reads, as short as can be. */
  static String profileWord(CostProfile profile) {
    Path file = Path.of(profile.word());
    boolean ships = folder().resolve("profiles").equals(file.getParent());
    return ships ? file.getFileName().toString().replaceFirst("\\.json$", "") : profile.word();
  }

  /** The folder of an emulated model, made first when it is not there. */
  static Path emulatedModel(EmulatedShape shape) {
    return shape.folder(cache().resolve("shapes"));
  }

  /**
   * A model folder, or that of a shape's random weights, written first when it is not there.
   *
   * @param word a folder, a shape's word, or the name of a profile that ships, for its emulated
   *     model
   */
  static Path modelOrShape(String word, Progress progress) {
    Path folder = Path.of(word);
    if (Files.isDirectory(folder)) {
      return folder;
    }
    if (Files.isRegularFile(folder().resolve("profiles").resolve(word + ".json"))) {
      Optional<EmulatedShape> emulated = profile(word).model();
      if (emulated.isPresent()) {
        return emulatedModel(emulated.get());
      }
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
