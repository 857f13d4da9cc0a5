package io.epidote.engine.checkpoint;

/**
 * The mixture of experts that takes the place of the decoder's feed-forward layers.
 *
 * @param normalizeTopK whether the chosen experts' gates are scaled to sum to one
 * @param gateScale that the chosen experts' gates are multiplied by
 * @param sharedExpertIntermediateSize 0 when there is no shared expert
 * @param firstLayer the first layer with experts; those before are dense
 */
public record MoeConfig(
    int experts,
    int expertsPerToken,
    int expertIntermediateSize,
    boolean normalizeTopK,
    float gateScale,
    int sharedExpertIntermediateSize,
    int firstLayer) {}
