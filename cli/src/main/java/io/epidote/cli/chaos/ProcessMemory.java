package io.epidote.cli.chaos;

import com.sun.tools.attach.AttachNotSupportedException;
import com.sun.tools.attach.VirtualMachine;
import java.io.IOException;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryMXBean;
import java.lang.reflect.UndeclaredThrowableException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.stream.Stream;
import javax.management.MBeanServerConnection;
import javax.management.remote.JMXConnector;
import javax.management.remote.JMXConnectorFactory;
import javax.management.remote.JMXServiceURL;
import org.jspecify.annotations.Nullable;

/**
 * What processes hold while a load runs: their live heap (after a collection), direct memory,
 * memory of their own, file descriptors and threads, looked at now and then. What is flat is as
 * much in the last quarter of the load as in the second; the first is left out, in which caches
 * fill.
 */
final class ProcessMemory implements AutoCloseable {
  private static final double MIB = 1 << 20;

  /** Looks in the time of the load; a collection takes a little of it. */
  private static final int LOOKS = 60;

  private static final Duration OFTEN = Duration.ofSeconds(1);
  private static final Duration LAST_LOOK = Duration.ofSeconds(20);

  /** In the order of a look's values. */
  private enum What {
    HEAP,
    DIRECT,
    RSS,
    FDS,
    THREADS;

    String figure() {
      return switch (this) {
        case HEAP -> "heap_mib";
        case DIRECT -> "direct_mib";
        case RSS -> "rss_mib";
        case FDS -> "fds";
        case THREADS -> "threads";
      };
    }
  }

  /**
   * @param at {@link System#nanoTime}
   * @param values in the order of {@link What}; NaN where it cannot be told
   */
  private record Look(long pid, long at, double[] values) {}

  /** Otherwise each connection to a process that was killed is written of in the log. */
  private static final Map<String, ?> NO_CHECKS =
      Map.of("jmx.remote.x.client.connection.check.period", 0L);

  private final Supplier<Map<String, Long>> processes;
  private final Map<String, List<Look>> looks = new LinkedHashMap<>();
  private final Map<Long, JMXConnector> connections = new LinkedHashMap<>();
  private final long start = System.nanoTime();
  private final Thread thread;

  private ProcessMemory(Supplier<Map<String, Long>> processes, Duration length) {
    this.processes = processes;
    Duration part = length.dividedBy(LOOKS);
    Duration pause = part.compareTo(OFTEN) < 0 ? OFTEN : part;
    this.thread = Thread.ofPlatform().daemon().name("process-memory").unstarted(() -> look(pause));
  }

  /**
   * Begins to look.
   *
   * @param processes ids by name, of those that run
   * @param length of the load
   */
  static ProcessMemory watch(Supplier<Map<String, Long>> processes, Duration length) {
    ProcessMemory memory = new ProcessMemory(processes, length);
    memory.thread.start();
    return memory;
  }

  private void look(Duration pause) {
    try {
      while (!Thread.interrupted()) {
        Map<String, Long> now = processes.get();
        for (Map.Entry<String, Long> process : now.entrySet()) {
          Look look = look(process.getValue());
          synchronized (looks) {
            looks.computeIfAbsent(process.getKey(), _ -> new ArrayList<>()).add(look);
          }
        }
        TimeUnit.NANOSECONDS.sleep(pause.toNanos());
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private Look look(long pid) {
    double[] values = new double[What.values().length];
    Arrays.fill(values, Double.NaN);
    try {
      // The heap first: what a collection frees is not to be counted.
      heap(pid, values);
    } catch (IOException | UndeclaredThrowableException e) {
      // Its process ended, or is of a host of its own: then its heap is not told.
      forget(pid);
    }
    try {
      for (String line : Files.readAllLines(Path.of("/proc/" + pid + "/status"))) {
        if (line.startsWith("RssAnon:")) {
          values[What.RSS.ordinal()] = number(line) / 1024;
        } else if (line.startsWith("Threads:")) {
          values[What.THREADS.ordinal()] = number(line);
        }
      }
      try (Stream<Path> open = Files.list(Path.of("/proc/" + pid + "/fd"))) {
        values[What.FDS.ordinal()] = open.count();
      }
    } catch (IOException e) {
      // It has ended, or this is not Linux: then nothing is told.
    }
    return new Look(pid, System.nanoTime(), values);
  }

  private static double number(String line) {
    return Double.parseDouble(line.replaceAll("[^0-9]", ""));
  }

  private void heap(long pid, double[] values) throws IOException {
    MBeanServerConnection beans = connection(pid).getMBeanServerConnection();
    MemoryMXBean memory = ManagementFactory.getPlatformMXBean(beans, MemoryMXBean.class);
    memory.gc();
    values[What.HEAP.ordinal()] = memory.getHeapMemoryUsage().getUsed() / MIB;
    for (BufferPoolMXBean pool :
        ManagementFactory.getPlatformMXBeans(beans, BufferPoolMXBean.class)) {
      if (pool.getName().equals("direct")) {
        values[What.DIRECT.ordinal()] = pool.getMemoryUsed() / MIB;
      }
    }
  }

  // What is read there comes from a process that this one has started.
  @SuppressWarnings("BanJNDI")
  private JMXConnector connection(long pid) throws IOException {
    JMXConnector known = connections.get(pid);
    if (known != null) {
      return known;
    }
    try {
      VirtualMachine machine = VirtualMachine.attach(Long.toString(pid));
      try {
        JMXConnector made =
            JMXConnectorFactory.connect(
                new JMXServiceURL(machine.startLocalManagementAgent()), NO_CHECKS);
        connections.put(pid, made);
        return made;
      } finally {
        machine.detach();
      }
    } catch (AttachNotSupportedException e) {
      throw new IOException(e);
    }
  }

  private void forget(long pid) {
    @Nullable JMXConnector broken = connections.remove(pid);
    if (broken != null) {
      try {
        broken.close();
      } catch (IOException e) {
        // The process has ended.
      }
    }
  }

  /** A process that was killed leaves the socket at which it was asked. */
  private static void removeSocket(long pid) {
    try {
      Files.deleteIfExists(Path.of("/tmp/.java_pid" + pid));
    } catch (IOException e) {
      // It is in nobody's way.
    }
  }

  /** The load has ended: what was found. */
  ProcessGrowth stop() throws InterruptedException {
    long end = System.nanoTime();
    thread.interrupt();
    thread.join(LAST_LOOK);
    List<ProcessGrowth.Row> rows = new ArrayList<>();
    synchronized (looks) {
      looks.forEach((name, all) -> row(name, all, end).ifPresent(rows::add));
    }
    return new ProcessGrowth(rows);
  }

  @Override
  public void close() {
    thread.interrupt();
    List.copyOf(connections.keySet()).forEach(this::forget);
    synchronized (looks) {
      looks.values().stream()
          .flatMap(List::stream)
          .mapToLong(Look::pid)
          .distinct()
          .filter(pid -> ProcessHandle.of(pid).isEmpty())
          .forEach(ProcessMemory::removeSocket);
    }
  }

  /** Of a process that ran all the time. */
  private Optional<ProcessGrowth.Row> row(String name, List<Look> all, long end) {
    if (all.stream().mapToLong(Look::pid).distinct().count() != 1) {
      return Optional.empty();
    }
    long quarter = (end - start) / 4;
    Map<String, ProcessGrowth.Held> held = new LinkedHashMap<>();
    for (What what : What.values()) {
      Double before = median(all, what, start + quarter, start + 2 * quarter);
      Double after = median(all, what, end - quarter, end);
      if (before != null && after != null) {
        held.put(what.figure(), new ProcessGrowth.Held(before, after));
      }
    }
    return held.isEmpty() ? Optional.empty() : Optional.of(new ProcessGrowth.Row(name, held));
  }

  private static @Nullable Double median(List<Look> looks, What what, long from, long to) {
    double[] values =
        looks.stream()
            .filter(look -> look.at() >= from && look.at() <= to)
            .mapToDouble(look -> look.values()[what.ordinal()])
            .filter(value -> !Double.isNaN(value))
            .sorted()
            .toArray();
    return values.length == 0 ? null : Math.round(values[values.length / 2] * 10) / 10.0;
  }
}
