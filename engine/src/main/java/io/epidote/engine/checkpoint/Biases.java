package io.epidote.engine.checkpoint;

/**
 * Which of attention's linear layers have a bias.
 *
 * @param inputs the query, key and value projections
 * @param output the output projection
 */
public record Biases(boolean inputs, boolean output) {}
