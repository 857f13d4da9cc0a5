package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;

/**
 * A real Chromium without a window. Its only way to any host, this one included, is a proxy that
 * writes down what was asked for and answers nothing.
 */
final class HeadlessBrowser implements AutoCloseable {
  /** What Chromium asks of its maker by itself, whatever page it shows. */
  private static final String OF_ITS_OWN = ".*(google|googleapis|gvt1)\\.com.*";

  private final Path folder;
  private final ServerSocket proxy;
  private final List<String> asked = new CopyOnWriteArrayList<>();

  private HeadlessBrowser(Path folder, ServerSocket proxy) {
    this.folder = folder;
    this.proxy = proxy;
    Thread.ofVirtual().start(this::listen);
  }

  /** Skips the test on a machine of a user without Chromium; CI installs it. */
  static HeadlessBrowser open(Path folder) throws IOException {
    assumeTrue(
        System.getenv("CI") != null || NpmScripts.onPath("chromium"), "chromium is not installed");
    return new HeadlessBrowser(folder, new ServerSocket(0, 50, InetAddress.getLoopbackAddress()));
  }

  private void listen() {
    while (!proxy.isClosed()) {
      try (Socket client = proxy.accept()) {
        client.setSoTimeout(2000);
        String line =
            new BufferedReader(
                    new InputStreamReader(client.getInputStream(), StandardCharsets.US_ASCII))
                .readLine();
        if (line != null && !line.matches(OF_ITS_OWN)) {
          asked.add(line);
        }
      } catch (IOException e) {
        // Closed, or somebody connected and said nothing.
      }
    }
  }

  /** The document as it is when its scripts have run. */
  String show(Path page) throws Exception {
    Process chromium =
        new ProcessBuilder(
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--user-data-dir=" + folder.resolve("chromium"),
                "--proxy-server=127.0.0.1:" + proxy.getLocalPort(),
                "--proxy-bypass-list=<-loopback>",
                "--virtual-time-budget=3000",
                "--dump-dom",
                page.toUri().toString())
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
    String document = new String(chromium.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(chromium.waitFor(1, TimeUnit.MINUTES)).isTrue();
    return document;
  }

  /** First lines of requests to any host. */
  List<String> asked() {
    return asked;
  }

  @Override
  public void close() throws IOException {
    proxy.close();
  }
}
