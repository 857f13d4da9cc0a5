package io.epidote.engine.text;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.io.IOException;
import java.nio.file.Path;

/**
 * A model folder's tokenizer.json, run by Hugging Face's own tokenizers. Adds no special tokens,
 * cuts and pads nothing: the chat template says what belongs in a prompt. Safe for use by several
 * threads.
 */
public final class Tokenizer implements AutoCloseable {
  private final HuggingFaceTokenizer tokenizer;
  private final VocabularyFile vocabulary;

  private Tokenizer(HuggingFaceTokenizer tokenizer, VocabularyFile vocabulary) {
    this.tokenizer = tokenizer;
    this.vocabulary = vocabulary;
  }

  /**
   * Reads {@code tokenizer.json}.
   *
   * @throws BadCheckpoint when it is missing or malformed
   */
  public static Tokenizer open(Path folder) {
    Path file = folder.resolve("tokenizer.json");
    VocabularyFile vocabulary = VocabularyFile.read(file);
    try {
      HuggingFaceTokenizer tokenizer =
          HuggingFaceTokenizer.builder()
              .optTokenizerPath(file)
              .optAddSpecialTokens(false)
              .optTruncation(false)
              .optPadding(false)
              .build();
      return new Tokenizer(tokenizer, vocabulary);
    } catch (IOException | RuntimeException e) {
      throw new BadCheckpoint(
          "%s is not a tokenizer of Hugging Face form: %s".formatted(file, e.getMessage()), e);
    }
  }

  /** The tokens of a text; added tokens that are written out in it become what they name. */
  public int[] encode(String text) {
    return encode(text, false);
  }

  /**
   * As {@link #encode(String)}, with the special tokens that tokenizer.json puts around a text,
   * unless the text begins with one of them already.
   */
  int[] encodeFromStart(String text) {
    int[] plain = encode(text, false);
    int[] whole = encode(text, true);
    return plain.length > 0 && plain[0] == whole[0] ? plain : whole;
  }

  private int[] encode(String text, boolean addSpecialTokens) {
    long[] ids = tokenizer.encode(wellFormed(text), addSpecialTokens, false).getIds();
    int[] narrow = new int[ids.length];
    for (int i = 0; i < ids.length; i++) {
      narrow[i] = (int) ids[i];
    }
    return narrow;
  }

  /** The text of tokens, special ones left out. Ids that no token has are left out too. */
  public String decode(int... ids) {
    return decode(ids, 0, ids.length, true);
  }

  /** The text of tokens, special ones by their names. Ids that no token has are left out. */
  public String decodeAll(int... ids) {
    return decode(ids, 0, ids.length, false);
  }

  String decode(int[] ids, int from, int to, boolean skipSpecial) {
    if (from == to) {
      return "";
    }
    long[] wide = new long[to - from];
    for (int i = from; i < to; i++) {
      wide[i - from] = ids[i];
    }
    return tokenizer.decode(wide, skipSpecial);
  }

  /**
   * The text of one token as it reads inside a sentence, with the space that it may begin with;
   * special tokens by their names. A token that is part of a character gives U+FFFD.
   */
  public String tokenText(int id) {
    // Decoders drop a leading space at the start of a text only, so look at the token behind
    // itself.
    String once = decode(new int[] {id}, 0, 1, false);
    String twice = decode(new int[] {id, id}, 0, 2, false);
    return twice.startsWith(once) ? twice.substring(once.length()) : once;
  }

  /** The id of a token by its name in the vocabulary, or -1. */
  public int id(String token) {
    return vocabulary.ids().getOrDefault(token, -1);
  }

  /** Whether {@link #decode} leaves the token out. */
  public boolean isSpecial(int id) {
    return id >= 0 && vocabulary.special().get(id);
  }

  /** For one answer; to be used by one thread at a time. */
  public Detokenizer newDetokenizer() {
    return new Detokenizer(this);
  }

  /**
   * Half a surrogate pair, which JSON can carry, is no text and would not survive the way to Rust.
   */
  private static String wellFormed(String text) {
    for (int i = 0; i < text.length(); i++) {
      if (Character.isSurrogate(text.charAt(i))) {
        StringBuilder replaced = new StringBuilder(text.length());
        text.codePoints()
            .map(c -> c >= Character.MIN_SURROGATE && c <= Character.MAX_SURROGATE ? 0xFFFD : c)
            .forEach(replaced::appendCodePoint);
        return replaced.toString();
      }
    }
    return text;
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
