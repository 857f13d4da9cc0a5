package io.epidote.engine.kernel;

/**
 * The two products of attention over paged keys and values, for a tile of rows (queries). Each sum
 * is taken in the order of the elements or tokens, so that every implementation gives the same
 * bits, however many rows are in a tile. Results have room for {@link Rows#TILE} rows more than are
 * asked for; what they hold afterwards is not defined.
 */
interface FloatProducts {
  /** The machine's: generated code where there is some for its processor. */
  FloatProducts BEST = NativeFloatProducts.of().orElseGet(PortableFloatProducts::new);

  /** How many rows a call takes at most. */
  int maxRows();

  /**
   * Products of queries with the keys of two blocks.
   *
   * @param count of rows, 1 to {@link #maxRows()}
   * @param queries {@code [count, width]}
   * @param keys0 of a block, {@code [width, 16]}
   * @param keys1 of another block, or the same
   * @param next0 keys that are wanted next; may be any address
   * @param next1 likewise
   * @param to {@code [count, 32]}, first the products with {@code keys0}
   * @param toBytes from one row to the next
   */
  void scores(
      int count,
      long queries,
      int width,
      long keys0,
      long keys1,
      long next0,
      long next1,
      long to,
      long toBytes);

  /**
   * Adds rows' shares of a block's values.
   *
   * @param count of rows, 1 to {@link #maxRows()}
   * @param shares {@code [count, tokens]}
   * @param shareBytes from one row to the next
   * @param values {@code [tokens, columns]}
   * @param rowBytes from one row of values, and of contexts, to the next
   * @param next values that are wanted next; may be any address
   * @param contexts {@code [count, columns]}
   */
  void contexts(
      int count,
      long shares,
      long shareBytes,
      long values,
      int tokens,
      long rowBytes,
      int columns,
      long next,
      long contexts);
}
