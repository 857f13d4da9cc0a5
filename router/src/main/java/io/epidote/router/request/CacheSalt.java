package io.epidote.router.request;

import com.google.protobuf.ByteString;
import io.epidote.engine.memory.KeyChain;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * What separates a tenant's prompts from others' in caches. Only its digest leaves the router.
 *
 * @param text empty where all share what is cached
 */
public record CacheSalt(String text) {
  private static final int MOST = 256;

  /** No separation. */
  public static final CacheSalt NONE = new CacheSalt("");

  /**
   * @param field names where the text is from, for messages
   * @throws InvalidField when it is too long
   */
  public static CacheSalt of(String field, String text) {
    if (text.length() > MOST) {
      throw new InvalidField(
          field, "has %d characters; expected at most %d".formatted(text.length(), MOST));
    }
    return new CacheSalt(text);
  }

  /** For the stages; empty for {@link #NONE}. */
  ByteString digest() {
    if (text.isEmpty()) {
      return ByteString.EMPTY;
    }
    return ByteString.copyFrom(
        KeyChain.digest(ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8))));
  }
}
