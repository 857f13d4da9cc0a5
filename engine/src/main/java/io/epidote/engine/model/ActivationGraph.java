package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;
import static io.epidote.engine.onnx.Attribute.text;

import io.epidote.engine.checkpoint.Activation;
import io.epidote.engine.kernel.VisionOperators;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.util.List;

/** Activation functions in a graph: of feature maps, and of rows between linear layers. */
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

  /**
   * The activation of {@code x + bias}, for a linear layer.
   *
   * @param x {@code [T, width]}
   * @param bias {@code [width]}, or absent
   */
  static LinearLayers.Rows rows(
      GraphBuilder graph,
      LinearLayers layers,
      Activation activation,
      Value x,
      Value bias,
      int width) {
    String operator =
        switch (activation) {
          case RELU -> VisionOperators.BIAS_RELU;
          case GELU -> VisionOperators.BIAS_GELU;
          case GELU_TANH -> VisionOperators.BIAS_GELU_TANH;
          case QUICK_GELU -> VisionOperators.BIAS_QUICK_GELU;
          case SILU -> VisionOperators.BIAS_SILU;
        };
    boolean bytes = layers.quantizesRows();
    List<Value> made =
        graph.epidoteOps(
            operator,
            List.of(x, bias),
            List.of(!bytes, bytes, bytes),
            integer(VisionOperators.WIDTH, width));
    return layers.rows(made.get(0), made.get(1), made.get(2));
  }
}
