package io.epidote.router.openai;

import io.netty.handler.codec.http.HttpResponseStatus;
import java.util.Map;
import java.util.Optional;

/** What a router has at its HTTP port beside the API: paths to GET. */
@FunctionalInterface
public interface WebPaths {
  WebPaths NONE = (path, query) -> Optional.empty();

  /**
   * Answers a GET; empty where nothing is. Must not block.
   *
   * @param query what follows the question mark, or empty
   * @throws io.epidote.router.request.InvalidField when the query cannot be
   */
  Optional<Reply> get(String path, String query);

  /** Whether a path is for everybody, with a key or without: it tells nothing of the cluster. */
  default boolean isOpen(String path) {
    return false;
  }

  /**
   * A whole response.
   *
   * @param type of the body
   * @param headers besides type and length
   */
  record Reply(HttpResponseStatus status, String type, byte[] body, Map<String, String> headers) {}
}
