package io.epidote.node.memory;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class SystemMemoryTest {
  @TempDir Path root;

  private void write(String file, String text) throws IOException {
    Path path = root.resolve(file);
    Files.createDirectories(path.getParent());
    Files.writeString(path, text);
  }

  @Test
  void theLeastOfMachineAndGroupsCounts() throws IOException {
    assertThat(new SystemMemory(root).available()).isGreaterThan(1L << 60);
    write("proc/meminfo", "MemTotal:  900 kB\nMemAvailable:   700 kB\n");
    assertThat(new SystemMemory(root).available()).isEqualTo(700 << 10);
    write("proc/self/cgroup", "0::/pods/node\n");
    write("sys/fs/cgroup/pods/node/memory.max", "max\n");
    write("sys/fs/cgroup/pods/node/memory.current", "1000\n");
    assertThat(new SystemMemory(root).available()).isEqualTo(700 << 10);
    // A limit of the group above, of which files take some that can be dropped.
    write("sys/fs/cgroup/pods/memory.max", "500000\n");
    write("sys/fs/cgroup/pods/memory.current", "300000\n");
    write("sys/fs/cgroup/pods/memory.stat", "anon 1\ninactive_file 100000\nfile 7\n");
    assertThat(new SystemMemory(root).available()).isEqualTo(300000);
    write("sys/fs/cgroup/pods/node/memory.max", "900\n");
    assertThat(new SystemMemory(root).available()).isZero();
  }
}
