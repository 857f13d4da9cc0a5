package io.epidote.engine.kernel;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Writes x86-64 machine code: the few instructions that {@link TileCode} is made of, encoded as in
 * Intel's Software Developer's Manual, volume 2, chapter 2. Registers are numbers, as in the
 * encoding.
 */
final class Assembler {
  static final int RAX = 0;
  static final int RCX = 1;
  static final int RDX = 2;
  static final int RBX = 3;
  static final int RSP = 4;
  static final int RSI = 6;
  static final int RDI = 7;
  static final int R8 = 8;
  static final int R9 = 9;
  static final int R10 = 10;
  static final int R11 = 11;

  private static final int NONE = -1;

  /** Opcode maps: 0F and 0F 38. */
  private static final int MAP_0F = 1;

  private static final int MAP_0F38 = 2;

  /** Implied prefixes: none and 66. */
  private static final int NO_PREFIX = 0;

  private static final int PREFIX_66 = 1;

  private final ByteBuffer code = ByteBuffer.allocate(1 << 16).order(ByteOrder.LITTLE_ENDIAN);

  /** Whether vectors are 512 bits wide (EVEX, 32 registers) or 256 (VEX, 16 registers). */
  private final boolean wide;

  Assembler(boolean wide) {
    this.wide = wide;
  }

  /** {@code base + index * scale + displacement}; index -1 is none. */
  record Address(int base, int index, int scale, int displacement) {
    static Address of(int base, int displacement) {
      return new Address(base, NONE, 1, displacement);
    }
  }

  boolean wide() {
    return wide;
  }

  int vectorBytes() {
    return wide ? 64 : 32;
  }

  /** Bytes written so far. */
  int position() {
    return code.position();
  }

  byte[] bytes() {
    byte[] bytes = new byte[code.position()];
    code.get(0, bytes);
    return bytes;
  }

  /** Lets the next instruction begin at a multiple of 64 bytes. */
  void align() {
    while (code.position() % 64 != 0) {
      code.put((byte) 0x90);
    }
  }

  // ---- General registers, 64 bits

  void load(int to, Address from) {
    general(0x8B, to, from);
  }

  void loadAddress(int to, Address from) {
    general(0x8D, to, from);
  }

  void add(int register, int value) {
    rex(0, NONE, register);
    put(0x81);
    put(0xC0 | register & 7);
    code.putInt(value);
  }

  void addRegister(int register, int other) {
    rex(other, NONE, register);
    put(0x01);
    put(0xC0 | (other & 7) << 3 | register & 7);
  }

  void decrement(int register) {
    rex(0, NONE, register);
    put(0xFF);
    put(0xC8 | register & 7);
  }

  /** Jumps back to a position when the last result was not 0. */
  void jumpIfNotZero(int position) {
    put(0x0F);
    put(0x85);
    code.putInt(position - (code.position() + Integer.BYTES));
  }

  /** Saves one of the lower eight registers. */
  void push(int register) {
    put(0x50 | register);
  }

  void pop(int register) {
    put(0x58 | register);
  }

  void returnToCaller() {
    // vzeroupper: the caller may use instructions that would have to keep the upper halves.
    put(0xC5);
    put(0xF8);
    put(0x77);
    put(0xC3);
  }

  // ---- Vectors

  void loadVector(int to, Address from) {
    vector(MAP_0F, NO_PREFIX, 0x10, to, 0, from);
  }

  void storeVector(int from, Address to) {
    vector(MAP_0F, NO_PREFIX, 0x11, from, 0, to);
  }

  /** Four bytes of memory in all lanes. */
  void broadcast(int to, Address from) {
    vector(MAP_0F38, PREFIX_66, 0x58, to, 0, from);
  }

  /** AVX-512 VNNI: adds to each 32-bit lane four products of unsigned by signed bytes. */
  void addByteProducts(int sum, int unsigned, int signed) {
    vector(MAP_0F38, PREFIX_66, 0x50, sum, unsigned, signed);
  }

  /** Sums of two products of unsigned by signed bytes, in 16 bits, saturated. */
  void multiplyBytes(int to, int unsigned, Address signed) {
    vector(MAP_0F38, PREFIX_66, 0x04, to, unsigned, signed);
  }

  /** Sums of two products of 16-bit numbers, in 32 bits. */
  void multiplyShorts(int to, int a, int b) {
    vector(MAP_0F, PREFIX_66, 0xF5, to, a, b);
  }

  void addInts(int to, int a, int b) {
    vector(MAP_0F, PREFIX_66, 0xFE, to, a, b);
  }

  /** 1 in every 16 bits; 256-bit vectors only. */
  void shortOnes(int to) {
    vector(MAP_0F, PREFIX_66, 0x75, to, to, to); // vpcmpeqw with itself: all bits
    vector(MAP_0F, PREFIX_66, 0x71, 2, to, to); // vpsrlw
    put(15);
  }

  /** {@code sum += a * b}, rounded once. */
  void addProducts(int sum, int a, int b) {
    vector(MAP_0F38, PREFIX_66, 0xB8, sum, a, b);
  }

  void zero(int register) {
    vector(MAP_0F, PREFIX_66, 0xEF, register, register, register);
  }

  void intsToFloats(int to, int from) {
    vector(MAP_0F, NO_PREFIX, 0x5B, to, 0, from);
  }

  void multiplyFloats(int to, int a, int b) {
    vector(MAP_0F, NO_PREFIX, 0x59, to, a, b);
  }

  /**
   * Brings a line of memory into a core's second cache, for reading: its first one has few places
   * for lines that are on their way, and reading needs them. An address that is not mapped does no
   * harm.
   */
  void prefetch(Address from) {
    int index = from.index() == NONE ? 0 : from.index();
    put(0x40 | bit(2, (index & 8) != 0) | bit(1, (from.base() & 8) != 0));
    put(0x0F);
    put(0x18);
    operand(2, from); // prefetcht1
  }

  private void vector(int map, int prefix, int opcode, int register, int second, int third) {
    if (wide) {
      evex(map, prefix, register, second, third & 8, third & 16);
    } else {
      vex(map, prefix, register, second, third & 8, 0);
    }
    put(opcode);
    put(0xC0 | (register & 7) << 3 | third & 7);
  }

  private void vector(int map, int prefix, int opcode, int register, int second, Address address) {
    int index = address.index() == NONE ? 0 : address.index();
    if (wide) {
      evex(map, prefix, register, second, address.base() & 8, (index & 8) << 1);
    } else {
      vex(map, prefix, register, second, address.base() & 8, index & 8);
    }
    put(opcode);
    operand(register, address);
  }

  private void vex(int map, int prefix, int register, int second, int base, int index) {
    put(0xC4);
    put(bit(0x80, (register & 8) == 0) | bit(0x40, index == 0) | bit(0x20, base == 0) | map);
    put((~second & 15) << 3 | 1 << 2 | prefix);
  }

  /**
   * @param base bit 3 of the base, or of the third register
   * @param high bit 3 of the index, or bit 4 of the third register
   */
  private void evex(int map, int prefix, int register, int second, int base, int high) {
    put(0x62);
    put(
        bit(0x80, (register & 8) == 0)
            | bit(0x40, high == 0)
            | bit(0x20, base == 0)
            | bit(0x10, (register & 16) == 0)
            | map);
    put((~second & 15) << 3 | 1 << 2 | prefix);
    put(2 << 5 | bit(0x08, (second & 16) == 0)); // 512 bits, no mask
  }

  private void general(int opcode, int register, Address address) {
    rex(register, address.index(), address.base());
    put(opcode);
    operand(register, address);
  }

  private void rex(int register, int index, int base) {
    put(
        0x48
            | bit(4, (register & 8) != 0)
            | bit(2, index != NONE && (index & 8) != 0)
            | bit(1, (base & 8) != 0));
  }

  /**
   * ModRM, SIB and a displacement of four bytes, or none where it is 0 (which RBP and R13 as a base
   * cannot have, and are not used as).
   */
  private void operand(int register, Address address) {
    boolean far = address.displacement() != 0;
    put(bit(0x80, far) | (register & 7) << 3 | 4);
    int index = address.index() == NONE ? RSP : address.index(); // RSP as an index is none
    put(
        Integer.numberOfTrailingZeros(address.scale()) << 6
            | (index & 7) << 3
            | address.base() & 7);
    if (far) {
      code.putInt(address.displacement());
    }
  }

  private static int bit(int bit, boolean set) {
    return set ? bit : 0;
  }

  private void put(int value) {
    code.put((byte) value);
  }
}
