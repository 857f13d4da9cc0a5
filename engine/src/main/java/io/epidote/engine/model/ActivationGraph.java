package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.text;

import io.epidote.engine.checkpoint.Activation;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.util.List;

/** Activation functions in a graph. */
final class ActivationGraph {
  private ActivationGraph() {}

  static Value write(GraphBuilder graph, Activation activation, Value x) {
    return switch (activation) {
      case RELU -> graph.op("Relu", List.of(x));
      case GELU -> graph.op("Gelu", List.of(x), text("approximate", "none"));
      case GELU_TANH -> graph.op("Gelu", List.of(x), text("approximate", "tanh"));
      case QUICK_GELU ->
          graph.op(
              "Mul",
              List.of(
                  x,
                  graph.op("Sigmoid", List.of(graph.op("Mul", List.of(x, graph.real(1.702f)))))));
      case SILU -> graph.op("Mul", List.of(x, graph.op("Sigmoid", List.of(x))));
    };
  }
}
