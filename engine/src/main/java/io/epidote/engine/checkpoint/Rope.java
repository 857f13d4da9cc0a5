package io.epidote.engine.checkpoint;

/**
 * Rotary position embedding: pair {@code i} of a head of {@code d} turns by {@code theta^(-2i/d)}
 * radians a position, changed by the scaling.
 */
public record Rope(double theta, RopeScaling scaling) {}
