package io.epidote.router.request;

import com.google.protobuf.ByteString;
import io.epidote.engine.memory.KeyChain;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * What separates a tenant's prompts from others' in caches. Only its digest leaves the router.
 *
 * @param tenant empty where tenants share what is cached
 * @param text of the client's own; empty where all of a tenant's requests share what is cached
 */
public record CacheSalt(String tenant, String text) {
  private static final int MOST = 256;

  /** No separation. */
  public static final CacheSalt NONE = new CacheSalt("", "");

  /**
   * @param field names where the text is from, for messages
   * @throws InvalidField when it is too long
   */
  public static CacheSalt of(String field, String text) {
    if (text.length() > MOST) {
      throw new InvalidField(
          field, "has %d characters; expected at most %d".formatted(text.length(), MOST));
    }
    return new CacheSalt("", text);
  }

  /** The same for one tenant alone. */
  CacheSalt within(String name) {
    return new CacheSalt(name, text);
  }

  /** For the stages; empty for {@link #NONE}. */
  ByteString digest() {
    if (tenant.isEmpty() && text.isEmpty()) {
      return ByteString.EMPTY;
    }
    // No text of a client's can be that of another tenant: names have no line ends.
    String whole = tenant + "\n" + text;
    return ByteString.copyFrom(
        KeyChain.digest(ByteBuffer.wrap(whole.getBytes(StandardCharsets.UTF_8))));
  }
}
