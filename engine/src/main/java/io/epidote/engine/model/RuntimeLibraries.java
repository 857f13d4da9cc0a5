package io.epidote.engine.model;

import static java.util.Objects.requireNonNull;

import ai.onnxruntime.OrtException;
import io.epidote.engine.disk.Drafts;
import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * ONNX Runtime's native libraries in the cache folder, from where every process loads them. By
 * itself each process would unpack them, 22 MB, into a temporary folder of its own, which stays
 * there when the process is killed.
 */
final class RuntimeLibraries {
  private static final Logger log = LoggerFactory.getLogger(RuntimeLibraries.class);

  /** ONNX Runtime's own property: the folder that has them. */
  private static final String PLACE = "onnxruntime.native.path";

  private static final List<String> NAMES = List.of("libonnxruntime.so", "libonnxruntime4j_jni.so");

  private RuntimeLibraries() {}

  /**
   * Tells ONNX Runtime where they are, unpacked first when they are not there. Where that does not
   * work, ONNX Runtime unpacks them itself. To be called before it is loaded.
   *
   * @param cache folder for graphs and converted weights
   */
  static synchronized void place(Path cache) {
    if (System.getProperty(PLACE) != null) {
      return;
    }
    try {
      Path folder = folder(cache);
      if (folder != null) {
        System.setProperty(PLACE, folder.toString());
      }
    } catch (IOException e) {
      log.warn(
          "ONNX Runtime's libraries cannot be kept in {} ({}); a temporary folder has them",
          cache,
          e.toString());
    }
  }

  /** Null where it has none for this platform in a jar. */
  private static @Nullable Path folder(Path cache) throws IOException {
    String arch = System.getProperty("os.arch").equals("amd64") ? "x64" : "aarch64";
    String from = "/ai/onnxruntime/native/linux-%s/".formatted(arch);
    StringBuilder name = new StringBuilder("onnxruntime-" + arch);
    for (String library : NAMES) {
      URL url = OrtException.class.getResource(from + library);
      if (!System.getProperty("os.name").equals("Linux")
          || url == null
          || !(url.openConnection() instanceof JarURLConnection entry)) {
        return null;
      }
      name.append(String.format(Locale.ROOT, "-%08x", entry.getJarEntry().getCrc()));
    }
    Path folder = cache.resolve("native").resolve(name.toString()).toAbsolutePath();
    if (!Files.isDirectory(folder)) {
      unpack(from, folder);
    }
    return folder;
  }

  private static void unpack(String from, Path folder) throws IOException {
    Files.createDirectories(folder.getParent());
    Drafts.removeOld(folder.getParent());
    Path draft = Files.createTempDirectory(folder.getParent(), Drafts.PREFIX);
    try {
      for (String library : NAMES) {
        try (InputStream bytes = OrtException.class.getResourceAsStream(from + library)) {
          Files.copy(requireNonNull(bytes, library), draft.resolve(library));
        }
      }
      Files.move(draft, folder, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      // When another process was first, its libraries are the same.
      if (!Files.isDirectory(folder)) {
        throw e;
      }
    } finally {
      Drafts.delete(draft);
    }
  }
}
