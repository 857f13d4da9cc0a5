package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Assembler.R8;
import static io.epidote.engine.kernel.Assembler.R9;
import static io.epidote.engine.kernel.Assembler.RCX;
import static io.epidote.engine.kernel.Assembler.RDI;
import static io.epidote.engine.kernel.Assembler.RDX;

import io.epidote.engine.kernel.Assembler.Address;

/**
 * Writes the functions of {@link NativePanelProducts} for bytes. Java's vectors have no products of
 * bytes; processors have, at up to four times the speed of floats.
 *
 * <p>Parameters: rows (RDI), bytes from row to row (RSI), panel (RDX), groups (RCX), result (R8),
 * bytes from row to row of it (R9); on the stack the rows' scales. A panel is read from end to end,
 * which processors foresee: to ask for what comes next would only be in their way.
 */
final class ByteProductsCode extends TileCode {
  private final boolean vnni;

  private ByteProductsCode(Assembler code, boolean vnni, int rows) {
    super(code, rows, maxRows(vnni));
    this.vnni = vnni;
  }

  /** Rows whose sums fit the registers, beside what is being multiplied. */
  static int maxRows(boolean vnni) {
    return vnni ? 12 : 3;
  }

  /**
   * A function for so many rows.
   *
   * @param vnni with AVX-512's products of four bytes; otherwise AVX2's of two
   */
  static void write(Assembler code, boolean vnni, int rows) {
    new ByteProductsCode(code, vnni, rows).write();
  }

  private void write() {
    enter();
    addressRows();
    for (int row = 0; row < rows; row++) {
      for (int v = 0; v < vectors; v++) {
        code.loadVector(sum(row, v), panel(v));
      }
    }
    code.add(RDX, BYTES);
    if (!vnni) {
      code.shortOnes(ones());
    }
    code.align();
    int loop = code.position();
    if (vnni) {
      addGroup();
    } else {
      addGroupInSteps();
    }
    code.add(RDX, BYTES);
    advanceRows();
    code.decrement(RCX);
    code.jumpIfNotZero(loop);
    scale();
    leave();
  }

  private void addGroup() {
    for (int v = 0; v < vectors; v++) {
      code.loadVector(spare(2 + v), panel(v));
    }
    for (int row = 0; row < rows; row++) {
      int four = spare(row % 2);
      code.broadcast(four, row(row));
      for (int v = 0; v < vectors; v++) {
        code.addByteProducts(sum(row, v), four, spare(2 + v));
      }
    }
  }

  private void addGroupInSteps() {
    int four = spare(0);
    int product = spare(1);
    for (int row = 0; row < rows; row++) {
      code.broadcast(four, row(row));
      for (int v = 0; v < vectors; v++) {
        code.multiplyBytes(product, four, panel(v));
        code.multiplyShorts(product, product, ones());
        code.addInts(sum(row, v), sum(row, v), product);
      }
    }
  }

  private int ones() {
    return spare(2);
  }

  /** Makes the sums floats, multiplies them by both scales and stores them. */
  private void scale() {
    code.load(RDI, stacked(0));
    for (int row = 0; row < rows; row++) {
      code.broadcast(spare(0), Address.of(RDI, row * Float.BYTES));
      for (int v = 0; v < vectors; v++) {
        code.loadVector(spare(1), panel(v));
        code.intsToFloats(sum(row, v), sum(row, v));
        code.multiplyFloats(sum(row, v), sum(row, v), spare(1));
        code.multiplyFloats(sum(row, v), sum(row, v), spare(0));
        code.storeVector(sum(row, v), Address.of(R8, v * vectorBytes));
      }
      code.addRegister(R8, R9);
    }
  }

  private Address panel(int vector) {
    return Address.of(RDX, vector * vectorBytes);
  }
}
