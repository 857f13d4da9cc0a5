package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Assembler.R10;
import static io.epidote.engine.kernel.Assembler.R11;
import static io.epidote.engine.kernel.Assembler.R8;
import static io.epidote.engine.kernel.Assembler.R9;
import static io.epidote.engine.kernel.Assembler.RAX;
import static io.epidote.engine.kernel.Assembler.RBX;
import static io.epidote.engine.kernel.Assembler.RCX;
import static io.epidote.engine.kernel.Assembler.RDI;
import static io.epidote.engine.kernel.Assembler.RDX;
import static io.epidote.engine.kernel.Assembler.RSI;
import static io.epidote.engine.kernel.Assembler.RSP;

import io.epidote.engine.kernel.Assembler.Address;

/**
 * Writes the functions of {@link NativeByteProducts}, in the System V calling convention. Java's
 * vectors have no products of bytes; processors have, at four times the speed of floats.
 *
 * <p>The sums of all rows and columns stay in registers while a group of the panel's weights is
 * read once for all rows. Parameters: rows (RDI), bytes from row to row (RSI), panel (RDX), groups
 * (RCX), result (R8), bytes from row to row of it (R9), the rows' scales and how far ahead of the
 * weights the memory is that is wanted next (on the stack).
 */
final class ByteProductsCode {
  private static final int PANEL = PackedBytes.COLUMNS * Integer.BYTES;

  /** Bytes of a line of the cache. */
  private static final int LINE = 64;

  private final Assembler code;
  private final boolean vnni;
  private final int vectorBytes;
  private final int vectors;
  private final int rows;

  private ByteProductsCode(Assembler code, boolean vnni, int rows) {
    this.code = code;
    this.vnni = vnni;
    this.vectorBytes = vnni ? 64 : 32;
    this.vectors = PANEL / vectorBytes;
    this.rows = rows;
  }

  /** Rows whose sums fit the registers, beside what is being multiplied. */
  static int maxRows(boolean vnni) {
    return vnni ? 12 : 3;
  }

  /**
   * A function for so many rows.
   *
   * @param vnni with 512-bit vectors; otherwise AVX2
   */
  static void write(Assembler code, boolean vnni, int rows) {
    new ByteProductsCode(code, vnni, rows).write();
  }

  private void write() {
    code.push(RBX);
    // Rows are addressed from three bases: 0, 1, 2 and 3 rows beyond each.
    code.loadAddress(R11, new Address(RSI, RSI, 2, 0));
    code.loadAddress(RAX, new Address(RDI, RSI, 4, 0));
    code.loadAddress(RBX, new Address(RAX, RSI, 4, 0));
    for (int row = 0; row < rows; row++) {
      for (int v = 0; v < vectors; v++) {
        code.loadVector(sum(row, v), Address.of(RDX, v * vectorBytes));
      }
    }
    code.add(RDX, PANEL);
    code.load(R10, Address.of(RSP, 3 * Long.BYTES)); // the second on the stack
    if (!vnni) {
      code.shortOnes(ones());
    }
    code.align();
    int loop = code.position();
    for (int line = 0; line < PANEL; line += LINE) {
      code.prefetch(new Address(RDX, R10, 1, line));
    }
    if (vnni) {
      addGroup();
    } else {
      addGroupInSteps();
    }
    code.add(RDX, PANEL);
    code.add(RDI, PackedBytes.GROUP);
    if (rows > 4) {
      code.add(RAX, PackedBytes.GROUP);
    }
    if (rows > 8) {
      code.add(RBX, PackedBytes.GROUP);
    }
    code.decrement(RCX);
    code.jumpIfNotZero(loop);
    scale();
    code.pop(RBX);
    code.returnToCaller();
  }

  private void addGroup() {
    for (int v = 0; v < vectors; v++) {
      code.loadVector(weights(v), Address.of(RDX, v * vectorBytes));
    }
    for (int row = 0; row < rows; row++) {
      int four = activations() + row % 2;
      code.broadcast(four, row(row));
      for (int v = 0; v < vectors; v++) {
        code.addByteProducts(sum(row, v), four, weights(v));
      }
    }
  }

  private void addGroupInSteps() {
    int product = activations() + 1;
    for (int row = 0; row < rows; row++) {
      code.broadcast(activations(), row(row));
      for (int v = 0; v < vectors; v++) {
        code.multiplyBytes(product, activations(), Address.of(RDX, v * vectorBytes));
        code.multiplyShorts(product, product, ones());
        code.addInts(sum(row, v), sum(row, v), product);
      }
    }
  }

  /** Makes the sums floats, multiplies them by both scales and stores them. */
  private void scale() {
    code.load(R10, Address.of(RSP, 2 * Long.BYTES)); // beyond RBX and the return address
    for (int row = 0; row < rows; row++) {
      code.broadcast(activations(), Address.of(R10, row * Float.BYTES));
      for (int v = 0; v < vectors; v++) {
        int scales = activations() + 1;
        code.loadVector(scales, Address.of(RDX, v * vectorBytes));
        code.intsToFloats(sum(row, v), sum(row, v));
        code.multiplyFloats(sum(row, v), sum(row, v), scales);
        code.multiplyFloats(sum(row, v), sum(row, v), activations());
        code.storeVector(sum(row, v), Address.of(R8, v * vectorBytes));
      }
      code.addRegister(R8, R9);
    }
  }

  private static Address row(int row) {
    int base =
        switch (row / 4) {
          case 0 -> RDI;
          case 1 -> RAX;
          default -> RBX;
        };
    return switch (row % 4) {
      case 0 -> Address.of(base, 0);
      case 1 -> new Address(base, RSI, 1, 0);
      case 2 -> new Address(base, RSI, 2, 0);
      default -> new Address(base, R11, 1, 0);
    };
  }

  private int sum(int row, int vector) {
    return row * vectors + vector;
  }

  /** Two registers, beyond the sums. */
  private int activations() {
    return maxRows(vnni) * vectors;
  }

  private int weights(int vector) {
    return activations() + 2 + vector;
  }

  private int ones() {
    return activations() + 2;
  }
}
