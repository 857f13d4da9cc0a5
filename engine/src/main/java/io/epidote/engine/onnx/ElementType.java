package io.epidote.engine.onnx;

/** Element types of the graphs' tensors, with their code in the ONNX format. */
public enum ElementType {
  FLOAT(1, Float.BYTES),
  UINT8(2, Byte.BYTES),
  INT8(3, Byte.BYTES),
  INT64(7, Long.BYTES);

  private final int code;
  private final int bytes;

  ElementType(int code, int bytes) {
    this.code = code;
    this.bytes = bytes;
  }

  /** Bytes of one element. */
  public int bytes() {
    return bytes;
  }

  /** Its code in the format, which is ONNX Runtime's too. */
  public int code() {
    return code;
  }
}
