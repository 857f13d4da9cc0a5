package io.epidote.engine.checkpoint;

/**
 * The form of the decoder, which decides its tensors' names: all are RMSNorm, RoPE, attention and
 * SwiGLU.
 */
public enum Family {
  /** Dense; {@code mlp.{gate,up,down}_proj}. */
  LLAMA,
  /** Dense, with a bias on the query, key and value projections. */
  QWEN2,
  /** Experts as {@code block_sparse_moe.experts.{e}.{w1,w2,w3}}; gates always renormalised. */
  MIXTRAL,
  /** Experts as {@code mlp.experts.{e}.{gate,up,down}_proj} and perhaps a gated shared expert. */
  QWEN2_MOE,
  /**
   * Latent attention; experts as {@code mlp.experts.{e}.{gate,up,down}_proj} after the first dense
   * layers, with {@code mlp.shared_experts} that every token uses.
   */
  DEEPSEEK_V2
}
