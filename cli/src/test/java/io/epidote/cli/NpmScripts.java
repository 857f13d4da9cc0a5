package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/** Packages from npm that tests use as users do. */
final class NpmScripts {
  private NpmScripts() {}

  /**
   * Installs what a folder's lock file names, unless that is done already. Skips the test on a
   * machine of a user that lacks npm; CI installs it.
   */
  static void install(Path folder) throws Exception {
    assumeTrue(System.getenv("CI") != null || onPath("npm"), "npm is not installed");
    Path installed = folder.resolve("node_modules/.package-lock.json");
    if (!Files.exists(installed)
        || Files.getLastModifiedTime(installed)
                .compareTo(Files.getLastModifiedTime(folder.resolve("package-lock.json")))
            < 0) {
      Process npm =
          new ProcessBuilder(List.of("npm", "ci", "--silent"))
              .directory(folder.toFile())
              .redirectErrorStream(true)
              .redirectOutput(ProcessBuilder.Redirect.DISCARD)
              .start();
      assertThat(npm.waitFor()).isZero();
    }
  }

  /** The first number of Node.js's version. */
  static int nodeMajor() throws IOException {
    Process node = new ProcessBuilder("node", "--version").start();
    String version = new String(node.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return Integer.parseInt(version.strip().replaceAll("^v|\\..*", ""));
  }

  /** Whether a program can be started. */
  static boolean onPath(String program) {
    return Arrays.stream(System.getenv("PATH").split(File.pathSeparator))
        .anyMatch(folder -> Files.isExecutable(Path.of(folder, program)));
  }
}
