package io.epidote.router.request;

import com.google.protobuf.ByteString;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

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
    try {
      byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
      return ByteString.copyFrom(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has SHA-256", e);
    }
  }
}
