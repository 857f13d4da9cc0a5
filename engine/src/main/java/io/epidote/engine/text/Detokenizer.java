package io.epidote.engine.text;

import java.util.Arrays;

/**
 * Turns the tokens of one answer into text as they come. Each piece is the difference of two
 * decodings of the last few tokens: decoded alone, a token would lose its leading space or be half
 * a character. All pieces and the last {@link #flush()} together are what {@link Tokenizer#decode}
 * makes of all tokens (malformed UTF-8 aside, which some decoders judge by the whole run of bytes).
 * For one thread at a time.
 */
public final class Detokenizer {
  /**
   * A character has at most four bytes; what is still incomplete after this many tokens is junk.
   */
  private static final int MAX_PENDING = 16;

  private static final char REPLACEMENT = '\uFFFD';

  private final Tokenizer tokenizer;

  /** Tokens [0, context) have been emitted and are decoded for context, the others are pending. */
  private int[] window = new int[2 * MAX_PENDING + 2];

  private int context;
  private int size;

  Detokenizer(Tokenizer tokenizer) {
    this.tokenizer = tokenizer;
  }

  /** Takes the next token and returns the text that it completes, often a word, perhaps nothing. */
  public String append(int tokenId) {
    // A special token has no text, and its absence is exactly what decode makes of it.
    if (tokenizer.isSpecial(tokenId)) {
      return "";
    }
    if (size == window.length) {
      window = Arrays.copyOf(window, 2 * size);
    }
    window[size++] = tokenId;
    String text = tokenizer.decode(window, 0, size, true);
    boolean incomplete = !text.isEmpty() && text.charAt(text.length() - 1) == REPLACEMENT;
    if (incomplete && size - context < MAX_PENDING) {
      return "";
    }
    return emit(text, size - context >= MAX_PENDING);
  }

  /** The text that is still held back; call once, at the end of the answer. */
  public String flush() {
    return size == context ? "" : emit(tokenizer.decode(window, 0, size, true), true);
  }

  private String emit(String text, boolean always) {
    String before = tokenizer.decode(window, 0, context, true);
    String piece = text.length() > before.length() ? text.substring(before.length()) : "";
    if (!piece.isEmpty() || always) {
      System.arraycopy(window, context, window, 0, size - context);
      size -= context;
      context = size;
    }
    return piece;
  }
}
