package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Folders that adapters may be loaded from by whoever reaches a node or router. What is asked for
 * is resolved first, so that a link leads nowhere else.
 *
 * @param roots an adapter is in one of them, however deep
 */
public record AdapterRoots(List<Path> roots) {
  public AdapterRoots {
    roots = List.copyOf(roots);
  }

  /** The folder that a model is in; the model's own where that is the whole file system. */
  public static AdapterRoots beside(Path model) {
    Path folder = requireNonNull(model, "model is null").toAbsolutePath().normalize();
    Path parent = folder.getParent();
    return new AdapterRoots(
        List.of(parent == null || parent.getParent() == null ? folder : parent));
  }

  /** These and others. */
  public AdapterRoots and(List<Path> others) {
    return new AdapterRoots(Stream.concat(roots.stream(), others.stream()).toList());
  }

  /**
   * The real folder behind a name.
   *
   * @throws InvalidRequest when it, or a file in it, is outside the roots; nothing is told of what
   *     is there
   * @throws BadCheckpoint when there is none
   */
  public Path resolve(String folder) {
    Path asked;
    try {
      asked = Path.of(folder).toAbsolutePath().normalize();
    } catch (InvalidPathException e) {
      throw new InvalidRequest("'%s' is no path (%s)".formatted(folder, e.getReason()));
    }
    List<Path> real = realRoots();
    Path resolved;
    try {
      resolved = asked.toRealPath();
    } catch (IOException e) {
      if (isWithin(asked, roots) || isWithin(asked, real)) {
        throw new BadCheckpoint("There is no folder %s".formatted(asked), e);
      }
      throw outside(asked);
    }
    if (!isWithin(resolved, real)) {
      throw outside(asked);
    }
    if (!Files.isDirectory(resolved)) {
      throw new BadCheckpoint("%s is no folder".formatted(asked));
    }
    try (Stream<Path> files = Files.list(resolved)) {
      for (Path file : files.toList()) {
        if (Files.isSymbolicLink(file) && !isWithin(file.toRealPath(), real)) {
          throw outside(file);
        }
      }
    } catch (IOException e) {
      throw new BadCheckpoint("%s cannot be read (%s)".formatted(asked, e.getMessage()), e);
    }
    return resolved;
  }

  /**
   * The same for whoever passes the name on to nodes and may not have the folder itself.
   *
   * @return the folder, absolute
   * @throws InvalidRequest as {@link #resolve}
   */
  public Path check(String folder) {
    try {
      return resolve(folder);
    } catch (BadCheckpoint missing) {
      return Path.of(folder).toAbsolutePath().normalize();
    }
  }

  private List<Path> realRoots() {
    List<Path> real = new ArrayList<>();
    for (Path root : roots) {
      try {
        real.add(root.toRealPath());
      } catch (IOException e) {
        // One that is not there has nothing in it.
        continue;
      }
    }
    return real;
  }

  private static boolean isWithin(Path path, List<Path> folders) {
    return folders.stream()
        .map(folder -> folder.toAbsolutePath().normalize())
        .anyMatch(path::startsWith);
  }

  private InvalidRequest outside(Path asked) {
    return new InvalidRequest(
        "%s is not in a folder that adapters may be loaded from here (%s); copy it there, or start with --adapter-root DIR"
            .formatted(
                asked,
                roots.isEmpty()
                    ? "there is none"
                    : roots.stream().map(Path::toString).collect(Collectors.joining(", "))));
  }
}
