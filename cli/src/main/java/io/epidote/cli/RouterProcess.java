package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A router in a process of its own that computes nothing else, and what it takes. */
final class RouterProcess implements AutoCloseable {
  /** Of {@code /proc/PID/stat}, counted behind the command's name. */
  private static final int USER_TICKS = 11;

  private static final int SYSTEM_TICKS = 12;
  private static final int TICK_MICROS = 10_000;

  private final ChildProcess child;
  private final Path logs;
  private final String http;
  private final String grpc;
  private final HttpClient client = HttpClient.newHttpClient();

  private RouterProcess(ChildProcess child, Path logs, String http, String grpc) {
    this.child = child;
    this.logs = logs;
    this.http = http;
    this.grpc = grpc;
  }

  /**
   * @param requests at work at a time
   */
  static RouterProcess start(int requests, List<String> flags) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.router.maxRequests = requests;
    // All of them come from one address, which has no more than a part of all.
    options.router.security.maxConnections = 2 * requests;
    // Nodes that have every answer at once report nothing.
    options.router.nodeSilence = Duration.ofDays(365);
    try {
      Path logs = Files.createTempDirectory("epidote-");
      ChildProcess child = ChildProcess.start("router", logs, flags, options.routerArguments());
      try {
        String ready = child.awaitReady(ClusterStart.TIMEOUT);
        return new RouterProcess(child, logs, word(ready, "http"), word(ready, "grpc"));
      } catch (RuntimeException e) {
        child.close();
        throw e;
      }
    } catch (IOException e) {
      throw new Unavailable("No folder for logs can be made: " + e.getMessage(), e);
    }
  }

  private static String word(String ready, String key) {
    Matcher matcher = Pattern.compile(key + "=(\\S+)").matcher(ready);
    return matcher.find() ? matcher.group(1) : "";
  }

  String url() {
    return "http://" + http;
  }

  String grpc() {
    return grpc;
  }

  /** Processor time that it has taken, microseconds. */
  long cpuMicros() {
    String stat = read("stat");
    String[] words = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
    return (Long.parseLong(words[USER_TICKS]) + Long.parseLong(words[SYSTEM_TICKS])) * TICK_MICROS;
  }

  /** Resident memory, MiB. */
  long residentMib() {
    Matcher matcher = Pattern.compile("VmRSS:\\s+(\\d+) kB").matcher(read("status"));
    return matcher.find() ? Long.parseLong(matcher.group(1)) / 1024 : 0;
  }

  private String read(String file) {
    try {
      return Files.readString(Path.of("/proc", Long.toString(child.process().pid()), file));
    } catch (IOException e) {
      throw new Unavailable(
          "The router's /proc/PID/%s cannot be read (%s); this is measured on Linux"
              .formatted(file, e.getMessage()),
          e);
    }
  }

  /** A metric of its own, by its name in {@code /metrics}. */
  double metric(String name) throws InterruptedException {
    try {
      String metrics =
          client
              .send(
                  HttpRequest.newBuilder(URI.create(url() + "/metrics"))
                      .timeout(Duration.ofSeconds(20))
                      .build(),
                  BodyHandlers.ofString())
              .body();
      Matcher matcher =
          Pattern.compile("^" + name + "(?:\\{[^}]*})? (\\S+)", Pattern.MULTILINE).matcher(metrics);
      if (matcher.find()) {
        return Double.parseDouble(matcher.group(1));
      }
      throw new Unavailable("The router has no metric " + name);
    } catch (IOException e) {
      throw new Unavailable("The router's metrics cannot be read: " + e.getMessage(), e);
    }
  }

  @Override
  public void close() {
    client.close();
    child.close();
    try {
      Files.deleteIfExists(logs.resolve("router.log"));
      Files.deleteIfExists(logs);
    } catch (IOException e) {
      System.err.println("epidote: " + logs + " could not be removed: " + e.getMessage());
    }
  }
}
