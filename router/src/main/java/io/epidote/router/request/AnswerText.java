package io.epidote.router.request;

import java.util.List;

/**
 * The text of one answer as it may be shown: cut before the first stop string, and held back while
 * one could still match. How the text is split into tokens makes no difference: of several stop
 * strings the one that is complete first wins, the longest among those. For one thread.
 */
final class AnswerText {
  private final ServedModel.TokenText tokens;
  private final List<String> stops;
  private final int minTokens;
  private final StringBuilder held = new StringBuilder();
  private int appended;
  private boolean stopped;

  /**
   * @param minTokens no stop string counts that is complete with so many tokens
   */
  AnswerText(ServedModel.TokenText tokens, List<String> stops, int minTokens) {
    this.tokens = tokens;
    this.stops = stops;
    this.minTokens = minTokens;
  }

  /** Takes a token and returns the text that can be shown now. */
  String append(int tokenId) {
    appended++;
    return stopped ? "" : release(tokens.append(tokenId));
  }

  /** What is left when no token follows. */
  String flush() {
    if (stopped) {
      return "";
    }
    String shown = release(tokens.flush()) + held;
    held.setLength(0);
    return shown;
  }

  /** Whether a stop string matched: nothing more will be shown. */
  boolean stopped() {
    return stopped;
  }

  private String release(String text) {
    if (stops.isEmpty()) {
      return text;
    }
    int unseen = held.length();
    held.append(text);
    for (int end = unseen + 1; appended > minTokens && end <= held.length(); end++) {
      int match = longestStopEndingAt(end);
      if (match > 0) {
        stopped = true;
        String shown = held.substring(0, end - match);
        held.setLength(0);
        return shown;
      }
    }
    int keep = longestSuffixThatStartsAStop();
    String shown = held.substring(0, held.length() - keep);
    held.delete(0, held.length() - keep);
    return shown;
  }

  private int longestStopEndingAt(int end) {
    int longest = 0;
    for (String stop : stops) {
      int start = end - stop.length();
      if (stop.length() > longest && start >= 0 && matches(stop, start, stop.length())) {
        longest = stop.length();
      }
    }
    return longest;
  }

  private int longestSuffixThatStartsAStop() {
    int longest = 0;
    for (String stop : stops) {
      for (int length = Math.min(stop.length() - 1, held.length()); length > longest; length--) {
        if (matches(stop, held.length() - length, length)) {
          longest = length;
        }
      }
    }
    return longest;
  }

  private boolean matches(String stop, int start, int length) {
    for (int i = 0; i < length; i++) {
      if (held.charAt(start + i) != stop.charAt(i)) {
        return false;
      }
    }
    return true;
  }
}
