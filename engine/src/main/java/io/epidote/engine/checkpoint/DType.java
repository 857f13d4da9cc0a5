package io.epidote.engine.checkpoint;

/** Element types of safetensors that Epidote knows the width of. */
public enum DType {
  BOOL(1),
  U8(1),
  I8(1),
  F8_E4M3(1),
  F8_E5M2(1),
  U16(2),
  I16(2),
  F16(2),
  BF16(2),
  U32(4),
  I32(4),
  F32(4),
  U64(8),
  I64(8),
  F64(8);

  private final int bytes;

  DType(int bytes) {
    this.bytes = bytes;
  }

  /** Whether a tensor of it can be converted to float32. */
  boolean isReadable() {
    return this == F32 || this == F16 || this == BF16;
  }

  /** Bytes of one element. */
  public int bytes() {
    return bytes;
  }
}
