package io.epidote.engine.onnx;

import static java.util.Objects.requireNonNull;

import com.google.protobuf.ByteString;
import io.epidote.engine.kernel.OperatorDomain;
import io.epidote.engine.onnx.format.GraphProto;
import io.epidote.engine.onnx.format.ModelProto;
import io.epidote.engine.onnx.format.NodeProto;
import io.epidote.engine.onnx.format.OperatorSetIdProto;
import io.epidote.engine.onnx.format.StringStringEntryProto;
import io.epidote.engine.onnx.format.TensorProto;
import io.epidote.engine.onnx.format.TensorShapeProto;
import io.epidote.engine.onnx.format.TypeProto;
import io.epidote.engine.onnx.format.ValueInfoProto;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * Builds one graph, node by node. Names are given by a counter that nested graphs share, so that a
 * branch of {@code If} can read any value made before it.
 */
public final class GraphBuilder {
  /** ONNX operator set: Gelu came with 20. */
  private static final int OPSET = 20;

  private static final int IR_VERSION = 10;

  /** Below this, a tensor is kept in the model file: a page for it would be waste. */
  private static final int INLINE_BYTES = 4096;

  private final GraphProto.Builder graph = GraphProto.newBuilder();
  private final WeightFile weights;
  private final int[] counter;

  public GraphBuilder(String name, WeightFile weights) {
    this(name, weights, new int[1]);
  }

  private GraphBuilder(String name, WeightFile weights, int[] counter) {
    this.weights = requireNonNull(weights, "weights is null");
    this.counter = counter;
    graph.setName(name);
  }

  /** A graph for a branch of {@code If}. */
  public GraphBuilder branch(String name) {
    return new GraphBuilder(name, weights, counter);
  }

  /**
   * Declares an input.
   *
   * @param dimensions a number for a fixed size, a name for one that is known at run time
   */
  public Value input(String name, ElementType type, Object... dimensions) {
    graph.addInput(info(name, type, dimensions));
    return new Value(name);
  }

  /** Declares {@code value} as an output of that name. */
  public void output(String name, Value value, ElementType type, Object... dimensions) {
    graph.addNode(
        NodeProto.newBuilder().setOpType("Identity").addInput(value.name()).addOutput(name));
    graph.addOutput(info(name, type, dimensions));
  }

  private static ValueInfoProto info(String name, ElementType type, Object... dimensions) {
    TensorShapeProto.Builder shape = TensorShapeProto.newBuilder();
    for (Object dimension : dimensions) {
      switch (dimension) {
        case Integer size ->
            shape.addDim(TensorShapeProto.Dimension.newBuilder().setDimValue(size));
        case String symbol ->
            shape.addDim(TensorShapeProto.Dimension.newBuilder().setDimParam(symbol));
        default -> throw new IllegalArgumentException("Not a dimension: " + dimension);
      }
    }
    return ValueInfoProto.newBuilder()
        .setName(name)
        .setType(
            TypeProto.newBuilder()
                .setTensorType(
                    TypeProto.Tensor.newBuilder().setElemType(type.code()).setShape(shape)))
        .build();
  }

  /** Adds a standard operator with one output. */
  public Value op(String type, List<Value> inputs, Attribute... attributes) {
    return node("", type, inputs, 1, attributes).getFirst();
  }

  /** Stands for an optional input that is left out. */
  public static Value absent() {
    return new Value("");
  }

  /** Adds an operator of ONNX Runtime's own domain with one output. */
  public Value microsoftOp(String type, List<Value> inputs, Attribute... attributes) {
    return node("com.microsoft", type, inputs, 1, attributes).getFirst();
  }

  /** Adds a standard operator with several outputs. */
  public List<Value> ops(String type, List<Value> inputs, int outputs, Attribute... attributes) {
    return node("", type, inputs, outputs, attributes);
  }

  /**
   * Adds an operator of ONNX Runtime's own domain with several outputs.
   *
   * @param wanted for each output in order, whether it is made; those that are not are {@link
   *     #absent}
   */
  public List<Value> microsoftOps(
      String type, List<Value> inputs, List<Boolean> wanted, Attribute... attributes) {
    return node("com.microsoft", type, inputs, wanted, attributes);
  }

  /** Adds an operator of {@link OperatorDomain}; see {@link #microsoftOps}. */
  public List<Value> epidoteOps(
      String type, List<Value> inputs, List<Boolean> wanted, Attribute... attributes) {
    return node(OperatorDomain.NAME, type, inputs, wanted, attributes);
  }

  private List<Value> node(
      String domain, String type, List<Value> inputs, int outputs, Attribute... attributes) {
    return node(domain, type, inputs, Collections.nCopies(outputs, true), attributes);
  }

  private List<Value> node(
      String domain,
      String type,
      List<Value> inputs,
      List<Boolean> wanted,
      Attribute... attributes) {
    NodeProto.Builder node = NodeProto.newBuilder().setOpType(type).setDomain(domain);
    String name = type + "_" + counter[0]++;
    node.setName(name);
    inputs.forEach(input -> node.addInput(input.name()));
    Arrays.stream(attributes).forEach(attribute -> node.addAttribute(attribute.proto()));
    Value[] results = new Value[wanted.size()];
    for (int i = 0; i < results.length; i++) {
      results[i] = wanted.get(i) ? new Value(name + ":" + i) : absent();
      node.addOutput(results[i].name());
    }
    graph.addNode(node);
    return List.of(results);
  }

  /** A tensor of the model, filled from the checkpoint. */
  public Value weight(String name, ElementType type, WeightFile.Filler filler, long... shape) {
    return largeWeight(
        name,
        type,
        bytes -> filler.fill(bytes.asByteBuffer().order(ByteOrder.LITTLE_ENDIAN)),
        shape);
  }

  /** Likewise one that may be larger than a buffer. */
  public Value largeWeight(
      String name, ElementType type, WeightFile.LargeFiller filler, long... shape) {
    long length = Arrays.stream(shape).reduce(type.bytes(), Math::multiplyExact);
    TensorProto.Builder tensor = tensor(type, shape).setName(name);
    try {
      if (length < INLINE_BYTES) {
        ByteBuffer bytes = littleEndian(Math.toIntExact(length));
        if (!weights.planned()) {
          filler.fill(MemorySegment.ofBuffer(bytes));
        }
        tensor.setRawData(ByteString.copyFrom(bytes.rewind()));
      } else {
        WeightFile.Extent extent = weights.append(length, filler);
        tensor
            .setDataLocation(TensorProto.DataLocation.EXTERNAL)
            .addExternalData(entry("location", extent.fileName()))
            .addExternalData(entry("offset", Long.toString(extent.offset())))
            .addExternalData(entry("length", Long.toString(extent.length())));
      }
    } catch (IOException e) {
      throw new UncheckedIOException("The weight file cannot be written: " + e.getMessage(), e);
    }
    graph.addInitializer(tensor);
    return new Value(name);
  }

  /** A one-dimensional constant of integers. */
  public Value integers(long... values) {
    ByteBuffer bytes = littleEndian(values.length * Long.BYTES);
    bytes.asLongBuffer().put(values);
    return constant(tensor(ElementType.INT64, values.length), bytes);
  }

  /** An integer without dimensions. */
  public Value integer(long value) {
    ByteBuffer bytes = littleEndian(Long.BYTES);
    bytes.putLong(0, value);
    return constant(tensor(ElementType.INT64), bytes);
  }

  /** A float without dimensions. */
  public Value real(float value) {
    ByteBuffer bytes = littleEndian(Float.BYTES);
    bytes.putFloat(0, value);
    return constant(tensor(ElementType.FLOAT), bytes);
  }

  /** A constant of floats. */
  public Value reals(FloatBuffer values, long... shape) {
    ByteBuffer bytes = littleEndian(values.remaining() * Float.BYTES);
    bytes.asFloatBuffer().put(values);
    return constant(tensor(ElementType.FLOAT, shape), bytes);
  }

  private Value constant(TensorProto.Builder tensor, ByteBuffer bytes) {
    String name = "constant_" + counter[0]++;
    graph.addInitializer(tensor.setName(name).setRawData(ByteString.copyFrom(bytes)));
    return new Value(name);
  }

  private static TensorProto.Builder tensor(ElementType type, long... shape) {
    TensorProto.Builder tensor = TensorProto.newBuilder().setDataType(type.code());
    Arrays.stream(shape).forEach(tensor::addDims);
    return tensor;
  }

  private static ByteBuffer littleEndian(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static StringStringEntryProto entry(String key, String value) {
    return StringStringEntryProto.newBuilder().setKey(key).setValue(value).build();
  }

  GraphProto graph() {
    return graph.build();
  }

  /** The whole model, as the bytes of a model file. */
  public byte[] model() {
    return ModelProto.newBuilder()
        .setIrVersion(IR_VERSION)
        .setProducerName("epidote")
        .setGraph(graph)
        .addOpsetImport(OperatorSetIdProto.newBuilder().setVersion(OPSET))
        .addOpsetImport(OperatorSetIdProto.newBuilder().setDomain("com.microsoft").setVersion(1))
        .addOpsetImport(
            OperatorSetIdProto.newBuilder().setDomain(OperatorDomain.NAME).setVersion(1))
        .build()
        .toByteArray();
  }
}
