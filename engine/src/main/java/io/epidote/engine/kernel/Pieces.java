package io.epidote.engine.kernel;

import java.util.function.IntConsumer;

/** Tokens of a step in pieces that are worth handing to another thread. */
final class Pieces {
  private static final int TOKENS = 8;

  private Pieces() {}

  static int of(int tokens) {
    return (tokens + TOKENS - 1) / TOKENS;
  }

  static void forEach(int piece, int tokens, IntConsumer token) {
    int end = Math.min(tokens, (piece + 1) * TOKENS);
    for (int i = piece * TOKENS; i < end; i++) {
      token.accept(i);
    }
  }

  /** Does every token's work, by any of the workers. */
  static void share(KernelContext context, int tokens, KernelContext.Piece token) throws Throwable {
    context.share(of(tokens), (piece, worker) -> forEach(piece, tokens, i -> token.run(i, worker)));
  }
}
