package io.epidote.engine.memory;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;

/**
 * The keys of a prompt's KV blocks. A block's keys and values depend on every token up to its end,
 * so its key is a digest of the key before it, its own tokens, and the media whose tokens stand in
 * it; what holds for the whole sequence (adapter, weights, tenant) is in the key before the first.
 * Two prompts have the same key at a block exactly when they agree in all of this.
 */
public final class KeyChain {
  /**
   * Media tokens in a prompt.
   *
   * @param position of the first of its tokens in the prompt
   * @param tokens how many there are
   * @param key tells this media from any other; {@link #digest} of the rows, for example
   */
  public record MediaTokens(int position, int tokens, byte[] key) {}

  private final int blockTokens;
  private final BlockKey root;
  private final MessageDigest sha256 = sha256();

  /**
   * @param blockTokens tokens in a block
   * @param adapter name and version of the adapter, empty for the base model
   * @param weights what tells these weights from others: checkpoint and precision
   * @param salt separates tenants that must not learn of each other's prompts; empty when shared
   */
  public KeyChain(int blockTokens, String adapter, String weights, String salt) {
    this.blockTokens = blockTokens;
    for (String field : List.of(adapter, weights, salt)) {
      byte[] bytes = field.getBytes(StandardCharsets.UTF_8);
      // The length first, or "a" and "bc" would be "ab" and "c".
      sha256.update(ByteBuffer.allocate(Integer.BYTES).putInt(bytes.length).flip());
      sha256.update(bytes);
    }
    this.root = BlockKey.of(sha256.digest());
  }

  /**
   * The keys of the blocks that {@code tokens} fill.
   *
   * @param tokens the prompt; what it has at the places of media tokens is part of the key, too
   * @param media in order of position, without overlap
   */
  public List<BlockKey> keys(int[] tokens, List<MediaTokens> media) {
    List<BlockKey> keys = new ArrayList<>(tokens.length / blockTokens);
    extend(keys, tokens, tokens.length, media);
    return keys;
  }

  /**
   * Goes on with a chain as more of the prompt gets known.
   *
   * @param keys of the first blocks; those of the blocks that follow are added
   * @param tokens the prompt
   * @param known up to where {@code media} is complete
   * @param media in order of position, without overlap
   */
  public void extend(List<BlockKey> keys, int[] tokens, int known, List<MediaTokens> media) {
    BlockKey parent = keys.isEmpty() ? root : keys.getLast();
    int nextMedia = 0;
    for (int start = keys.size() * blockTokens;
        start + blockTokens <= known;
        start += blockTokens) {
      int end = start + blockTokens;
      ByteBuffer head = ByteBuffer.allocate(4 * Long.BYTES + blockTokens * Integer.BYTES);
      parent.writeTo(head);
      for (int i = start; i < end; i++) {
        head.putInt(tokens[i]);
      }
      sha256.update(head.flip());
      while (nextMedia < media.size() && end(media.get(nextMedia)) <= start) {
        nextMedia++;
      }
      for (int i = nextMedia; i < media.size() && media.get(i).position() < end; i++) {
        update(media.get(i), start);
      }
      parent = BlockKey.of(sha256.digest());
      keys.add(parent);
    }
  }

  private static int end(MediaTokens media) {
    return media.position() + media.tokens();
  }

  /** Which of the media's rows stand where in the block follows from position and length. */
  private void update(MediaTokens media, int start) {
    ByteBuffer place = ByteBuffer.allocate(3 * Integer.BYTES);
    place.putInt(media.position() - start).putInt(media.tokens()).putInt(media.key().length);
    sha256.update(place.flip());
    sha256.update(media.key());
  }

  /** The SHA-256 of media tokens, say, as their key; changes nothing about {@code bytes}. */
  public static byte[] digest(ByteBuffer bytes) {
    MessageDigest digest = sha256();
    digest.update(bytes.duplicate());
    return digest.digest();
  }

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has SHA-256", e);
    }
  }
}
