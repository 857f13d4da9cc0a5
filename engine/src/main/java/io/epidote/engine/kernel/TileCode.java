package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Assembler.R11;
import static io.epidote.engine.kernel.Assembler.RAX;
import static io.epidote.engine.kernel.Assembler.RBX;
import static io.epidote.engine.kernel.Assembler.RDI;
import static io.epidote.engine.kernel.Assembler.RSI;
import static io.epidote.engine.kernel.Assembler.RSP;

import io.epidote.engine.kernel.Assembler.Address;

/**
 * What the generated loops have in common: the sums of a tile, some rows by {@value #BYTES} bytes,
 * stay in registers while each step multiplies an element of every row, broadcast, by vectors that
 * all rows share.
 *
 * <p>Rows are addressed from three bases (RDI, RAX and RBX), 0 to 3 times their distance (RSI)
 * beyond each. Functions follow the System V calling convention; RBX, which it wants kept, is the
 * only such register that is used.
 */
abstract class TileCode {
  /** Of a tile's row: 32 floats or ints. */
  static final int BYTES = 128;

  private static final int ROWS_PER_BASE = 4;

  final Assembler code;
  final int vectorBytes;
  final int vectors;
  final int rows;
  private final int maxRows;

  TileCode(Assembler code, int rows, int maxRows) {
    this.code = code;
    this.rows = rows;
    this.maxRows = maxRows;
    this.vectorBytes = code.vectorBytes();
    this.vectors = BYTES / vectorBytes;
  }

  /** Keeps RBX. */
  final void enter() {
    code.push(RBX);
  }

  final void leave() {
    code.pop(RBX);
    code.returnToCaller();
  }

  /** A parameter beyond the six in registers, after {@link #enter}. */
  final Address stacked(int parameter) {
    return Address.of(RSP, (2 + parameter) * Long.BYTES); // beyond RBX and the return address
  }

  /** Sets the bases up from RDI and RSI. */
  final void addressRows() {
    code.loadAddress(R11, new Address(RSI, RSI, 2, 0));
    code.loadAddress(RAX, new Address(RDI, RSI, ROWS_PER_BASE, 0));
    code.loadAddress(RBX, new Address(RAX, RSI, ROWS_PER_BASE, 0));
  }

  final Address row(int row) {
    int base =
        switch (row / ROWS_PER_BASE) {
          case 0 -> RDI;
          case 1 -> RAX;
          default -> RBX;
        };
    return switch (row % ROWS_PER_BASE) {
      case 0 -> Address.of(base, 0);
      case 1 -> new Address(base, RSI, 1, 0);
      case 2 -> new Address(base, RSI, 2, 0);
      default -> new Address(base, R11, 1, 0);
    };
  }

  /** Moves on to the next four bytes of every row. */
  final void advanceRows() {
    code.add(RDI, Integer.BYTES);
    if (rows > ROWS_PER_BASE) {
      code.add(RAX, Integer.BYTES);
    }
    if (rows > 2 * ROWS_PER_BASE) {
      code.add(RBX, Integer.BYTES);
    }
  }

  final int sum(int row, int vector) {
    return row * vectors + vector;
  }

  /** Registers beyond the sums. */
  final int spare(int i) {
    return maxRows * vectors + i;
  }
}
