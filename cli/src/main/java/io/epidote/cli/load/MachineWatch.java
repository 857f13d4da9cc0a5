package io.epidote.cli.load;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.OptionalDouble;

/**
 * What this machine used between two moments: processor time of others than this process, and
 * energy, where the system tells (Linux).
 */
final class MachineWatch {
  private static final Path STAT = Path.of("/proc/stat");
  private static final Path ENERGY = Path.of("/sys/class/powercap/intel-rapl:0/energy_uj");
  private static final int IDLE = 3;
  private static final int IO_WAIT = 4;

  private final long nanos = System.nanoTime();
  private final long[] ticks = ticks();
  private final long own = own();
  private final OptionalDouble joules = joules();

  /** Share of all cores that others than this process were busy on since then. */
  OptionalDouble computeUse() {
    long[] now = ticks();
    if (now.length <= IO_WAIT || ticks.length <= IO_WAIT) {
      return OptionalDouble.empty();
    }
    double all = Arrays.stream(now).sum() - Arrays.stream(ticks).sum();
    double idle = now[IDLE] + now[IO_WAIT] - ticks[IDLE] - ticks[IO_WAIT];
    double seconds = (System.nanoTime() - nanos) / 1e9;
    double mine = (own() - own) / 1e9 / seconds / Runtime.getRuntime().availableProcessors();
    return all <= 0
        ? OptionalDouble.empty()
        : OptionalDouble.of(Math.clamp((all - idle) / all - mine, 0, 1));
  }

  /** Mean power since then, watts. */
  OptionalDouble watts() {
    OptionalDouble now = joules();
    return now.isEmpty() || joules.isEmpty() || now.getAsDouble() < joules.getAsDouble()
        ? OptionalDouble.empty()
        : OptionalDouble.of(
            (now.getAsDouble() - joules.getAsDouble()) / ((System.nanoTime() - nanos) / 1e9));
  }

  private static long own() {
    return ManagementFactory.getOperatingSystemMXBean()
            instanceof com.sun.management.OperatingSystemMXBean system
        ? system.getProcessCpuTime()
        : 0;
  }

  /** Of all processors: user, nice, system, idle, iowait, irq, softirq, steal. */
  private static long[] ticks() {
    try {
      String[] words = Files.readAllLines(STAT).getFirst().trim().split(" +");
      return Arrays.stream(words, 1, Math.min(9, words.length))
          .mapToLong(Long::parseLong)
          .toArray();
    } catch (IOException | NumberFormatException e) {
      return new long[0];
    }
  }

  private static OptionalDouble joules() {
    try {
      return OptionalDouble.of(Double.parseDouble(Files.readString(ENERGY).strip()) / 1e6);
    } catch (IOException | NumberFormatException e) {
      return OptionalDouble.empty();
    }
  }
}
