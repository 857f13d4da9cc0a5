package io.epidote.engine.kernel;

import io.epidote.engine.onnx.ElementType;
import java.util.List;
import java.util.function.LongFunction;

/**
 * An operator of the domain {@link OperatorDomain#NAME}. Any of its inputs and outputs may be left
 * out in a graph; what is missing, its kernel sees as address 0.
 *
 * @param attribute the name of its one integer attribute
 * @param kernel makes the kernel of a node from the attribute's value
 */
public record Operator(
    String name,
    List<ElementType> inputs,
    List<ElementType> outputs,
    String attribute,
    LongFunction<Kernel> kernel) {
  public Operator {
    inputs = List.copyOf(inputs);
    outputs = List.copyOf(outputs);
  }
}
