package io.epidote.engine.checkpoint;

/**
 * DeepSeek's multi-head latent attention: keys and values of all heads are projected from one
 * latent vector a token, beside one rotary key that the heads share.
 *
 * @param queryRank width of the queries' own latent vector; 0 when they are projected directly
 * @param rank width of the latent vector of keys and values
 * @param plainWidth of a head's query and key, the part without positions
 * @param rotaryWidth of a head's query and of the shared key, the part that turns
 * @param valueWidth of a head's value
 * @param scale that products of queries and keys are multiplied by
 */
public record LatentAttention(
    int queryRank, int rank, int plainWidth, int rotaryWidth, int valueWidth, float scale) {}
