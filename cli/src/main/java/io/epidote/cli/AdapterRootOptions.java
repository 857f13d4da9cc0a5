package io.epidote.cli;

import io.epidote.node.AdapterRoots;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Option;

/** From where adapters may be loaded while routers and nodes run. */
final class AdapterRootOptions {
  @Option(
      names = "--adapter-root",
      paramLabel = "DIR",
      description =
          "A folder that adapters may be loaded from while the cluster runs, with all that is in it. Repeat for several. Default: the folder that the model is in.")
  List<Path> folders = new ArrayList<>();

  /**
   * @param watched a folder of adapters, which is one, too
   */
  AdapterRoots roots(Path model, Optional<Path> watched) {
    AdapterRoots roots = folders.isEmpty() ? AdapterRoots.beside(model) : new AdapterRoots(folders);
    return roots.and(watched.stream().toList());
  }

  /** The same options for another process. */
  List<String> arguments() {
    List<String> arguments = new ArrayList<>();
    folders.forEach(
        folder -> arguments.addAll(List.of("--adapter-root", folder.toAbsolutePath().toString())));
    return arguments;
  }
}
