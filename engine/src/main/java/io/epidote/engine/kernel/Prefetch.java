package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Assembler.RDI;

import io.epidote.engine.kernel.Assembler.Address;

/** Brings memory into a core's second cache. Java has no way of asking for it. */
final class Prefetch {
  /** Bytes of a call: few enough that whoever calls is back before work may have come. */
  static final int BYTES = 4096;

  private static final int LINE = 64;

  private static final boolean GENERATED = NativeCode.FEATURES.contains("avx2");

  private Prefetch() {}

  private static final class Code {
    static final NativeCode CODE = NativeCode.byRows(false, 1, (code, rows) -> write(code));

    private static void write(Assembler code) {
      for (int line = 0; line < BYTES; line += LINE) {
        code.prefetch(Address.of(RDI, line));
      }
      code.returnToCaller();
    }
  }

  /** Asks for {@link #BYTES} from an address on, which may be any, and does not wait. */
  static void of(long address) {
    if (GENERATED) {
      Code.CODE.call(1, address, 0, 0, 0, 0, 0, 0, 0, 0);
    }
  }
}
