package io.epidote.router.page;

import io.epidote.router.openai.WebPaths;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/** The page's files, read once. What is not listed here is not served. */
final class StaticFiles {
  static final String FOLDER = "/epidote/page/";

  /**
   * The page may load from this router alone, run no script but its files, and be shown in no
   * frame.
   */
  private static final String POLICY =
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;"
          + " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

  private static final Map<String, String> HEADERS =
      Map.of(
          "content-security-policy",
          POLICY,
          "x-content-type-options",
          "nosniff",
          "referrer-policy",
          "no-referrer",
          "cache-control",
          "no-cache");

  private final Map<String, WebPaths.Reply> files = new HashMap<>();

  StaticFiles() {
    add("/", "index.html", "text/html; charset=utf-8");
    addScript("main.js");
    addScript("format.js");
    addScript("dom.js");
    addScript("nodes.js");
    addScript("charts.js");
    addScript("timeline.js");
    addScript("requests.js");
    addScript("playground.js");
    add(FOLDER + "page.css", "page.css", "text/css; charset=utf-8");
    add(FOLDER + "icon.svg", "icon.svg", "image/svg+xml");
  }

  Optional<WebPaths.Reply> get(String path) {
    return Optional.ofNullable(files.get(path));
  }

  private void addScript(String name) {
    add(FOLDER + name, name, "text/javascript; charset=utf-8");
  }

  private void add(String path, String name, String type) {
    try (InputStream file = StaticFiles.class.getResourceAsStream(name)) {
      if (file == null) {
        throw new IllegalStateException("The router lacks its file " + name);
      }
      files.put(
          path, new WebPaths.Reply(HttpResponseStatus.OK, type, file.readAllBytes(), HEADERS));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
