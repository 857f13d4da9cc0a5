package io.epidote.engine.model;

import io.epidote.engine.kernel.Operator;
import io.epidote.engine.kernel.PagedAttention;
import io.epidote.engine.kernel.RowOperators;
import java.util.List;
import java.util.stream.Stream;

/** The operators of a decoder's graph that are not ONNX Runtime's. */
record DecoderOperators(PagedAttention attention, RowOperators rows) implements AutoCloseable {
  List<Operator> all() {
    return Stream.concat(Stream.of(attention.operator()), rows.operators().stream()).toList();
  }

  @Override
  public void close() {
    attention.close();
    rows.close();
  }
}
