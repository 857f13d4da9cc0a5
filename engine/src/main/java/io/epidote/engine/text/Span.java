package io.epidote.engine.text;

/**
 * Where one tile's media tokens go in a prompt.
 *
 * @param item the picture, counted from 0
 * @param tile of that picture, counted from 0, the overview last
 * @param position of the first token
 * @param tokens how many
 */
public record Span(int item, int tile, int position, int tokens) {}
