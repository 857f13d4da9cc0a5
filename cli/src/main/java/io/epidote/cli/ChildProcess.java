package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;

/**
 * One {@code epidote} process that this one started, with this one's own JVM, flags and class path.
 * It ends when this one does, even when this one is killed: it watches its parent.
 */
final class ChildProcess implements AutoCloseable {
  /** Starts the one line that a process prints when it serves. */
  static final String READY = "ready ";

  /** What a node does without memory: it ends, so that others take what it had. Likewise. */
  private static final String ALL_OR_NOTHING = "-XX:+ExitOnOutOfMemoryError";

  private static final Duration STOP_TIMEOUT = Duration.ofSeconds(10);

  /**
   * What a process that computes needs: the kernels' vectors, and their compilation after a few
   * calls, which a start waits for. The launcher gives the same flags.
   */
  private static final List<String> KERNELS =
      List.of(
          "--add-modules=jdk.incubator.vector",
          "-XX:CompileCommandFile=" + Home.folder().resolve("engine/kernels.compile"));

  /**
   * What a process that only encodes needs of heap: pictures are decoded where others were before,
   * so that what is left is small, and a heap that begins small and has few young objects grows by
   * what lives alone. The launcher gives the same flags.
   */
  static final List<String> ENCODE_HEAP = List.of("-Xms48m", "-Xmn24m");

  private final String name;
  private final Process process;
  private final Path log;
  private final CompletableFuture<String> ready = new CompletableFuture<>();

  private ChildProcess(String name, Process process, Path log) {
    this.name = name;
    this.process = process;
    this.log = log;
  }

  /**
   * Starts a process; its log goes to {@code folder/name.log}.
   *
   * @param arguments of the command, for example {@code router --http-port 0}
   */
  static ChildProcess start(String name, Path folder, List<String> arguments) {
    return start(name, folder, List.of(), arguments);
  }

  /**
   * The same with flags for its JVM.
   *
   * @param flags besides this one's own
   */
  static ChildProcess start(String name, Path folder, List<String> flags, List<String> arguments) {
    return start(name, folder, List.of(), flags, arguments);
  }

  /**
   * The same behind another command, which becomes the process.
   *
   * @param prefix words of that command
   */
  static ChildProcess start(
      String name, Path folder, List<String> prefix, List<String> flags, List<String> arguments) {
    List<String> command = new ArrayList<>(prefix);
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
            .filter(flag -> !flag.startsWith("-agentlib") && !flag.startsWith("-javaagent"))
            .toList());
    KERNELS.stream().filter(flag -> !command.contains(flag)).forEach(command::add);
    if (!arguments.isEmpty() && arguments.getFirst().equals("node")) {
      command.add(ALL_OR_NOTHING);
    }
    command.addAll(flags);
    command.addAll(List.of("-cp", System.getProperty("java.class.path")));
    command.add(EpidoteCommand.class.getName());
    command.addAll(arguments);
    command.addAll(List.of("--parent-pid", Long.toString(ProcessHandle.current().pid())));
    Path log = folder.resolve(name + ".log");
    try {
      Process process =
          new ProcessBuilder(command)
              .redirectError(ProcessBuilder.Redirect.appendTo(log.toFile()))
              .redirectInput(ProcessBuilder.Redirect.from(new File("/dev/null")))
              .start();
      ChildProcess child = new ChildProcess(name, process, log);
      // Reading a pipe holds a virtual thread's carrier: a few children would starve all others.
      Thread.ofPlatform().daemon().name(name + "-output").start(child::readOutput);
      return child;
    } catch (IOException e) {
      throw new UncheckedIOException(
          "The process " + name + " cannot be started: " + e.getMessage(), e);
    }
  }

  private void readOutput() {
    try (BufferedReader lines =
        new BufferedReader(
            new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        if (line.startsWith(READY)) {
          ready.complete(line.substring(READY.length()));
        }
      }
      ready.completeExceptionally(
          new Unavailable(name + " stopped before it was ready. " + tail()));
    } catch (IOException e) {
      ready.completeExceptionally(e);
    }
  }

  /** Waits for the process's ready line and gives its words {@code key=value}. */
  String awaitReady(Duration timeout) {
    try {
      return ready.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
    } catch (TimeoutException e) {
      throw new Unavailable(
          name + " was not ready within " + timeout.toSeconds() + " s. " + tail(), e);
    } catch (ExecutionException e) {
      throw e.getCause() instanceof Unavailable unavailable
          ? unavailable
          : new Unavailable(name + " cannot be watched: " + e.getMessage(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new Unavailable("Interrupted while " + name + " started", e);
    }
  }

  /** The same, its words by their keys. */
  Map<String, String> awaitWords(Duration timeout) {
    return Arrays.stream(awaitReady(timeout).split(" "))
        .map(word -> word.split("=", 2))
        .collect(Collectors.toMap(pair -> pair[0], pair -> pair[1]));
  }

  private String tail() {
    try {
      List<String> lines = Files.readAllLines(log);
      List<String> last = lines.subList(Math.max(0, lines.size() - 8), lines.size());
      return last.isEmpty()
          ? "Its log is empty: " + log
          : "Its log ends with:\n" + String.join("\n", last);
    } catch (IOException e) {
      return "Its log cannot be read: " + log;
    }
  }

  Process process() {
    return process;
  }

  /** Asks the process to stop. */
  void signal() {
    process.destroy();
  }

  /** Stops the process, by force when it does not go by itself. */
  @Override
  public void close() {
    process.destroy();
    try {
      if (!process.waitFor(STOP_TIMEOUT)) {
        process.destroyForcibly().waitFor();
      }
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
  }
}
