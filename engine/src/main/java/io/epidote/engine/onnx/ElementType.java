package io.epidote.engine.onnx;

/** Element types of the graphs' tensors, with their code in the ONNX format. */
public enum ElementType {
  FLOAT(1),
  INT64(7);

  private final int code;

  ElementType(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }
}
