package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;

import io.epidote.engine.kernel.PagedAttention;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.util.List;
import java.util.stream.Stream;

/**
 * A residual stream between the halves of layers.
 *
 * @param x {@code [T, hidden]}
 * @param change what is still to be added to it, or absent
 */
record Residual(Value x, Value change) {
  /**
   * Half a layer in one node of {@link io.epidote.engine.kernel.LayerOperators}.
   *
   * @param inputs after {@code x}, what is added to it and the norm's weight
   */
  Residual half(GraphBuilder graph, String operator, Value norm, List<Value> inputs, int layer) {
    boolean adds = !change.equals(GraphBuilder.absent());
    List<Value> made =
        graph.epidoteOps(
            operator,
            Stream.concat(Stream.of(x, change, norm), inputs.stream()).toList(),
            List.of(adds, true),
            integer(PagedAttention.LAYER, layer));
    return new Residual(adds ? made.getFirst() : x, made.getLast());
  }
}
