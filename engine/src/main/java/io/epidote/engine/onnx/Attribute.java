package io.epidote.engine.onnx;

import com.google.protobuf.ByteString;
import io.epidote.engine.onnx.format.AttributeProto;
import io.epidote.engine.onnx.format.AttributeProto.AttributeType;
import java.util.Arrays;

/** A node's attribute. */
public record Attribute(AttributeProto proto) {
  public static Attribute integer(String name, long value) {
    return new Attribute(
        AttributeProto.newBuilder().setName(name).setType(AttributeType.INT).setI(value).build());
  }

  public static Attribute integers(String name, long... values) {
    AttributeProto.Builder builder =
        AttributeProto.newBuilder().setName(name).setType(AttributeType.INTS);
    Arrays.stream(values).forEach(builder::addInts);
    return new Attribute(builder.build());
  }

  public static Attribute real(String name, float value) {
    return new Attribute(
        AttributeProto.newBuilder().setName(name).setType(AttributeType.FLOAT).setF(value).build());
  }

  public static Attribute text(String name, String value) {
    return new Attribute(
        AttributeProto.newBuilder()
            .setName(name)
            .setType(AttributeType.STRING)
            .setS(ByteString.copyFromUtf8(value))
            .build());
  }

  /** A branch of {@code If}; it may read the values of the graphs around it. */
  public static Attribute graph(String name, GraphBuilder body) {
    return new Attribute(
        AttributeProto.newBuilder()
            .setName(name)
            .setType(AttributeType.GRAPH)
            .setG(body.graph())
            .build());
  }
}
