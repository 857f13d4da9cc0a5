package io.epidote.engine.onnx;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class WeightFileTest {
  private static final long MIB = 1 << 20;

  @TempDir private Path folder;

  @Test
  void tensorsStandAtPagesAndWhatIsBetweenCountsForNothing() throws IOException {
    Path file = folder.resolve("weights.bin");
    try (WeightFile weights = new WeightFile(file)) {
      assertThat(weights.append(5, bytes -> bytes.fill((byte) 1)).offset()).isZero();
      assertThat(weights.append(3 * MIB, bytes -> bytes.fill((byte) 2)).offset()).isEqualTo(4096);
      assertThat(weights.append(0, bytes -> {}).length()).isZero();
      assertThat(weights.bytes()).isEqualTo(5 + 3 * MIB);
    }
    byte[] content = Files.readAllBytes(file);
    assertThat(content).hasSize((int) (4096 + 3 * MIB));
    assertThat(content[4]).isEqualTo((byte) 1);
    assertThat(content[5]).isZero();
    assertThat(content[content.length - 1]).isEqualTo((byte) 2);
  }

  /** Not by a signal that ends the process, or an error of a virtual machine somewhere later. */
  @Test
  void aFullDiskIsAnErrorOfTheFile() throws Exception {
    assumeTrue(
        "root".equals(System.getProperty("user.name"))
            && run("mount", "-t", "tmpfs", "-o", "size=1m", "none", folder.toString()) == 0,
        "a small file system cannot be mounted");
    try (WeightFile weights = new WeightFile(folder.resolve("weights.bin"))) {
      assertThatThrownBy(() -> weights.append(2 * MIB, bytes -> bytes.fill((byte) 1)))
          .isInstanceOf(IOException.class)
          .hasMessageContaining("No space left");
    } finally {
      assertThat(run("umount", folder.toString())).isZero();
    }
  }

  private static int run(String... command) throws IOException, InterruptedException {
    return new ProcessBuilder(command).redirectErrorStream(true).start().waitFor();
  }
}
