package io.epidote.engine.model;

import io.epidote.engine.kernel.AttentionShape;
import io.epidote.engine.kernel.ExpertOperator;
import io.epidote.engine.kernel.LayerOperators;
import io.epidote.engine.kernel.Operator;
import io.epidote.engine.kernel.PagedAttention;
import io.epidote.engine.kernel.RowOperators;
import java.util.List;
import java.util.stream.Stream;

/** The operators of a decoder's graph that are not ONNX Runtime's. */
record DecoderOperators(
    PagedAttention attention, RowOperators rows, LayerOperators layers, ExpertOperator experts)
    implements AutoCloseable {
  static DecoderOperators of(AttentionShape shape, double epsilon, int threads) {
    PagedAttention attention = new PagedAttention(shape, threads);
    RowOperators rows = new RowOperators((float) epsilon, threads);
    return new DecoderOperators(
        attention, rows, new LayerOperators(attention, rows), new ExpertOperator(threads));
  }

  List<Operator> all() {
    return Stream.of(
            List.of(attention.operator(), experts.operator()), rows.operators(), layers.operators())
        .flatMap(List::stream)
        .toList();
  }

  /** Bytes outside the heap that steps work in. */
  long scratchBytes() {
    return attention.scratchBytes() + layers.scratchBytes() + experts.scratchBytes();
  }

  @Override
  public void close() {
    attention.close();
    rows.close();
    layers.close();
    experts.close();
  }
}
