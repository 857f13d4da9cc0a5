package io.epidote.engine.model;

import io.epidote.engine.kernel.ExpertOperator;
import io.epidote.engine.kernel.Operator;
import io.epidote.engine.kernel.PagedAttention;
import io.epidote.engine.kernel.RowOperators;
import java.util.List;
import java.util.stream.Stream;

/** The operators of a decoder's graph that are not ONNX Runtime's. */
record DecoderOperators(PagedAttention attention, RowOperators rows, ExpertOperator experts)
    implements AutoCloseable {
  List<Operator> all() {
    return Stream.concat(
            Stream.of(attention.operator(), experts.operator()), rows.operators().stream())
        .toList();
  }

  /** Bytes outside the heap that steps work in. */
  long scratchBytes() {
    return attention.scratchBytes() + experts.scratchBytes();
  }

  @Override
  public void close() {
    attention.close();
    rows.close();
    experts.close();
  }
}
