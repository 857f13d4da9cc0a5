package io.epidote.cli.chaos;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

/**
 * One sending of a request and what came of it. Filled by one thread at a time; read when {@link
 * #ended} is. Times are {@link System#nanoTime}.
 */
public final class Attempt {
  /** How it ended. */
  public enum End {
    /** With an answer that says that it is whole. */
    WHOLE,
    /** With a clean refusal before anything was accepted: ask again later. */
    REFUSED,
    /** With an error, or in the middle. */
    FAILED,
    /** Its caller left in the middle, as the load has it. */
    CANCELLED,
    /** It did not, and was given up. */
    HUNG
  }

  private final ChaosRequest request;
  private final String id;
  private final long due;
  private final CompletableFuture<Attempt> ended = new CompletableFuture<>();
  private final List<Integer> tokens = new ArrayList<>();
  private final StringBuilder text = new StringBuilder();
  private final Set<String> nodes = new LinkedHashSet<>();
  private int completionTokens;
  private String reason = "";
  private boolean accepted;
  private long endedAt;
  private End end = End.HUNG;
  private String error = "";
  private boolean repeatedStage;

  Attempt(ChaosRequest request, String id, long due) {
    this.request = request;
    this.id = id;
    this.due = due;
  }

  synchronized void accepted() {
    accepted = true;
  }

  synchronized void text(String piece) {
    text.append(piece);
  }

  synchronized void token(int token) {
    tokens.add(token);
  }

  synchronized void usage(int completion) {
    completionTokens = completion;
  }

  /** Over gRPC {@code FINISH_REASON_LENGTH}, over HTTP {@code length}. */
  synchronized void reason(String word) {
    reason = word;
  }

  /** A stage's account in the timeline. */
  synchronized void stage(String stage, String node) {
    // Several encode nodes share a request's tiles; of the other stages there is one.
    repeatedStage |=
        !stage.equals("encode") && nodes.stream().anyMatch(each -> each.startsWith(stage + " "));
    nodes.add(stage + " " + node);
  }

  void end(End how, String why) {
    synchronized (this) {
      if (endedAt != 0) {
        return;
      }
      endedAt = System.nanoTime();
      end = how;
      error = why;
    }
    ended.complete(this);
  }

  CompletableFuture<Attempt> ended() {
    return ended;
  }

  public ChaosRequest request() {
    return request;
  }

  /** As logs name it. */
  public String id() {
    return id;
  }

  /** When it should have been sent. */
  public long due() {
    return due;
  }

  public synchronized long endedAt() {
    return endedAt;
  }

  public synchronized boolean wasAccepted() {
    return accepted;
  }

  public synchronized End how() {
    return end;
  }

  public synchronized String error() {
    return error;
  }

  /** Tokens as far as they came; over HTTP as the server counts. */
  public synchronized int tokens() {
    return Math.max(tokens.size(), completionTokens);
  }

  synchronized boolean named(String node) {
    return nodes.stream().anyMatch(each -> each.endsWith(" " + node));
  }

  /** Whether a stage other than encode was done more than once. */
  synchronized boolean repeatedStage() {
    return repeatedStage;
  }

  /** Likewise as far as this answer came, whose caller left in the middle. */
  synchronized String differenceSoFar(Attempt expected) {
    boolean alike =
        expected.tokens.size() >= tokens.size()
            && expected.tokens.subList(0, tokens.size()).equals(tokens)
            && expected.text.toString().startsWith(text.toString());
    return alike ? "" : difference(expected);
  }

  /** Where this answer and another's of the same request part, or empty where they do not. */
  synchronized String difference(Attempt expected) {
    if (!tokens.equals(expected.tokens)) {
      int at = 0;
      while (at < Math.min(tokens.size(), expected.tokens.size())
          && tokens.get(at).equals(expected.tokens.get(at))) {
        at++;
      }
      return "%d tokens, %d expected, different from token %d on: %s, expected %s"
          .formatted(
              tokens.size(),
              expected.tokens.size(),
              at,
              tokens.subList(at, Math.min(tokens.size(), at + 6)),
              expected.tokens.subList(at, Math.min(expected.tokens.size(), at + 6)));
    }
    if (!text.toString().equals(expected.text.toString())) {
      int at = 0;
      while (at < Math.min(text.length(), expected.text.length())
          && text.charAt(at) == expected.text.charAt(at)) {
        at++;
      }
      return "%d characters, %d expected, different from character %d on: '%s', expected '%s'"
          .formatted(
              text.length(),
              expected.text.length(),
              at,
              text.substring(at, Math.min(text.length(), at + 20)),
              expected.text.substring(at, Math.min(expected.text.length(), at + 20)));
    }
    if (completionTokens != expected.completionTokens || !reason.equals(expected.reason)) {
      return "%d tokens and %s, expected %d and %s"
          .formatted(completionTokens, reason, expected.completionTokens, expected.reason);
    }
    return "";
  }
}
