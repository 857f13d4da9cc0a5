package io.epidote.trainer;

import io.epidote.scenes.AnswerForm;
import io.epidote.scenes.FormQuestions;
import io.epidote.scenes.Questions;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The word vocabulary. Its own {@link #encode} does what the exported tokenizer.json does, without
 * a native call per question; a test holds the two together.
 */
final class Vocabulary {
  /** Rows of the embedding: the words, rounded up, with room for the words of adapters. */
  static final int SIZE = 320;

  static final int PAD = 0;
  static final int UNK = 1;
  static final int USER = 2;
  static final int ASSISTANT = 3;
  static final int SYSTEM = 4;
  static final int END = 5;
  static final int FAKE = 6;
  static final int GLOBAL = 7;
  static final int IMAGE = 8;
  static final int NEWLINE = 25;
  private static final String PUNCTUATION = ".,?!:;'\"{}[]()-_/";

  /** SentencePiece's mark of a word's start. */
  static final char START = '\u2581';

  private final Map<String, Integer> ids = new LinkedHashMap<>();
  private final List<String> tokens = new ArrayList<>();

  Vocabulary() {
    for (String special : specialTokens()) {
      add(special);
    }
    add("\n");
    for (int i = 0; i < PUNCTUATION.length(); i++) {
      add(PUNCTUATION.substring(i, i + 1));
    }
    add(String.valueOf(START));
    Set<String> words = new LinkedHashSet<>(Questions.words());
    Collections.addAll(
        words,
        ("5 6 7 8 9 10 one two three four five and or not with please hello which one it i its has have there here"
                + " pictures images scene answer as json only show find list name tell me can you any first second"
                + " middle above below next side white black gray colors places place position object objects")
            .split(" "));
    // French, for a language adapter.
    Collections.addAll(
        words,
        ("un une le la les l de du des et il y dans au aux en sur oui non où est quelle quel combien décris"
                + " couleur forme formes images haut bas gauche droite centre rouge rouges vert verte bleu bleue"
                + " jaune violet violette cercle cercles carré carrés croix anneau anneaux aucune deux à ou")
            .split(" "));
    for (String word : words) {
      add(START + word);
    }
    // A word right behind a punctuation mark, as in JSON, has no start mark.
    for (String bare :
        ("red green blue yellow purple orange circle square triangle cross ring top bottom left right center color"
                + " shape place shapes count answer kind where picture yes no none both true false null 0 1 2 3 4"
                + " image il y a est un une")
            .split(" ")) {
      add(bare);
    }
    for (String word : List.of("kind", "true", "false", "null")) {
      add(START + word);
    }
    // Rows that were spare when the base was trained: behind all others, which keep their ids.
    for (String word : FormQuestions.words()) {
      add(START + word);
    }
    if (tokens.size() > SIZE - AnswerForm.values().length) {
      throw new IllegalStateException(
          "the vocabulary has "
              + tokens.size()
              + " tokens, too many for "
              + SIZE
              + " rows: raise SIZE");
    }
  }

  /** The tokens with a meaning of their own, in the order of their ids from 0. */
  static List<String> specialTokens() {
    List<String> special =
        new ArrayList<>(
            List.of(
                "<pad>",
                "<unk>",
                "<|user|>",
                "<|assistant|>",
                "<|system|>",
                "<end_of_utterance>",
                "<fake_token_around_image>",
                "<global-img>",
                "<image>"));
    for (int row = 1; row <= 4; row++) {
      for (int column = 1; column <= 4; column++) {
        special.add("<row_" + row + "_col_" + column + ">");
      }
    }
    return special;
  }

  /** The id of {@code <row_r_col_c>}, both counted from 1. */
  static int tile(int row, int column) {
    return IMAGE + (row - 1) * 4 + column;
  }

  /**
   * The id that stands in the place of {@link #ASSISTANT} before an answer in a form of its own
   * while the base is trained; no text has it.
   */
  static int speaker(AnswerForm form) {
    return SIZE - 1 - form.ordinal();
  }

  /** All tokens with their ids. */
  Map<String, Integer> ids() {
    return Collections.unmodifiableMap(ids);
  }

  /** Tokens in use; the rest of {@link #SIZE} is spare. */
  int size() {
    return tokens.size();
  }

  String token(int id) {
    return id < tokens.size() ? tokens.get(id) : "<spare_" + id + ">";
  }

  /** Token ids of plain text: words, numbers and punctuation. */
  int[] encode(String text) {
    List<Integer> out = new ArrayList<>();
    StringBuilder word = new StringBuilder();
    String marked = START + text.toLowerCase(java.util.Locale.ROOT).replace(' ', START);
    for (int i = 0; i < marked.length(); i++) {
      char c = marked.charAt(i);
      boolean mark = PUNCTUATION.indexOf(c) >= 0;
      if ((c == START || mark) && !word.isEmpty()) {
        out.add(id(word.toString()));
        word.setLength(0);
      }
      if (mark) {
        out.add(id(String.valueOf(c)));
      } else {
        word.append(c);
      }
    }
    if (!word.isEmpty()) {
      out.add(id(word.toString()));
    }
    return out.stream().mapToInt(Integer::intValue).toArray();
  }

  /** The id of one token, {@link #UNK} when there is none. */
  int id(String token) {
    return ids.getOrDefault(token, UNK);
  }

  private void add(String token) {
    if (!ids.containsKey(token)) {
      ids.put(token, tokens.size());
      tokens.add(token);
    }
  }
}
