package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Assembler.R10;
import static io.epidote.engine.kernel.Assembler.R8;
import static io.epidote.engine.kernel.Assembler.R9;
import static io.epidote.engine.kernel.Assembler.RAX;
import static io.epidote.engine.kernel.Assembler.RCX;
import static io.epidote.engine.kernel.Assembler.RDX;

import io.epidote.engine.kernel.Assembler.Address;

/**
 * Writes the functions of {@link NativeFloatProducts} and, for floats, {@link NativePanelProducts}.
 * They hold more sums in registers than loops over Java's vectors do, and ask for the next block of
 * keys or values while they read one, which Java cannot: blocks lie where the pool has them, and no
 * processor foresees where.
 */
final class FloatProductsCode extends TileCode {
  private static final int KEYS = AttentionShape.BLOCK_TOKENS * Float.BYTES;

  private FloatProductsCode(Assembler code, int rows) {
    super(code, rows, maxRows(code.wide()));
  }

  /** Rows whose sums fit the registers, beside what is being multiplied. */
  static int maxRows(boolean wide) {
    return wide ? 12 : 2;
  }

  /**
   * Parameters: queries (RDI), bytes from row to row (RSI), keys of a block (RDX), their width
   * (RCX), two blocks of keys that are wanted next (R8, R9); on the stack the other block of keys,
   * the result and bytes from row to row of it.
   */
  static void scores(Assembler code, int rows) {
    new FloatProductsCode(code, rows).scores();
  }

  /**
   * Parameters: shares (RDI), bytes from row to row (RSI), the contexts that are added to (RDX),
   * tokens (RCX), bytes from token to token of the values (R8), values that are wanted next (R9);
   * on the stack a block's values from a column on, bytes from row to row of the contexts, and the
   * contexts again.
   */
  static void contexts(Assembler code, int rows) {
    new FloatProductsCode(code, rows).contexts();
  }

  /**
   * A panel of {@link PackedFloats}. Parameters: rows (RDI), bytes from row to row (RSI), panel
   * (RDX), elements (RCX), result (R8), bytes from row to row of it (R9).
   */
  static void panel(Assembler code, int rows) {
    new FloatProductsCode(code, rows).panel();
  }

  private void panel() {
    enter();
    addressRows();
    clear();
    code.align();
    int loop = code.position();
    for (int v = 0; v < vectors; v++) {
      code.loadVector(spare(2 + v), Address.of(RDX, v * vectorBytes));
    }
    addProducts();
    code.add(RDX, BYTES);
    advanceRows();
    code.decrement(RCX);
    code.jumpIfNotZero(loop);
    code.loadAddress(RDX, Address.of(R8, 0));
    code.loadAddress(RAX, Address.of(R9, 0));
    eachSum(false);
    leave();
  }

  private void scores() {
    enter();
    addressRows();
    code.load(R10, stacked(0));
    clear();
    code.align();
    int loop = code.position();
    code.prefetch(Address.of(R8, 0));
    code.prefetch(Address.of(R9, 0));
    for (int v = 0; v < vectors; v++) {
      int half = vectors / 2;
      code.loadVector(
          spare(2 + v),
          v < half ? Address.of(RDX, v * vectorBytes) : Address.of(R10, (v - half) * vectorBytes));
    }
    addProducts();
    for (int register : new int[] {RDX, R10, R8, R9}) {
      code.add(register, KEYS);
    }
    advanceRows();
    code.decrement(RCX);
    code.jumpIfNotZero(loop);
    code.load(RDX, stacked(1));
    code.load(RAX, stacked(2));
    eachSum(false);
    leave();
  }

  private void contexts() {
    enter();
    code.load(RAX, stacked(1));
    eachSum(true);
    code.load(RDX, stacked(0));
    addressRows();
    code.align();
    int loop = code.position();
    code.prefetch(Address.of(R9, 0));
    code.prefetch(Address.of(R9, BYTES / 2));
    for (int v = 0; v < vectors; v++) {
      code.loadVector(spare(2 + v), Address.of(RDX, v * vectorBytes));
    }
    addProducts();
    code.addRegister(RDX, R8);
    code.addRegister(R9, R8);
    advanceRows();
    code.decrement(RCX);
    code.jumpIfNotZero(loop);
    code.load(RDX, stacked(2));
    code.load(RAX, stacked(1));
    eachSum(false);
    leave();
  }

  private void clear() {
    for (int row = 0; row < rows; row++) {
      for (int v = 0; v < vectors; v++) {
        code.zero(sum(row, v));
      }
    }
  }

  private void addProducts() {
    for (int row = 0; row < rows; row++) {
      int one = spare(row % 2);
      code.broadcast(one, row(row));
      for (int v = 0; v < vectors; v++) {
        code.addProducts(sum(row, v), one, spare(2 + v));
      }
    }
  }

  /** Loads or stores the sums: rows from RDX on, RAX bytes apart. */
  private void eachSum(boolean load) {
    for (int row = 0; row < rows; row++) {
      for (int v = 0; v < vectors; v++) {
        Address address = Address.of(RDX, v * vectorBytes);
        if (load) {
          code.loadVector(sum(row, v), address);
        } else {
          code.storeVector(sum(row, v), address);
        }
      }
      code.addRegister(RDX, RAX);
    }
  }
}
