package io.epidote.engine.model;

import com.google.protobuf.InvalidProtocolBufferException;
import io.epidote.engine.onnx.WeightFile;
import io.epidote.engine.onnx.format.AttributeProto;
import io.epidote.engine.onnx.format.GraphProto;
import io.epidote.engine.onnx.format.ModelProto;
import io.epidote.engine.onnx.format.NodeProto;
import io.epidote.engine.onnx.format.StringStringEntryProto;
import io.epidote.engine.onnx.format.TensorProto;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/**
 * What a stage's graph takes on disk and in memory, from its plan: nothing is written or loaded.
 *
 * @param fileBytes of its weights in the cache, which processes share where they do not prepack
 * @param copiedBytes of these, and of the small ones in the graph itself, what a process that
 *     prepacks copies for itself; the copies are a little larger, where a kernel pads a matrix
 * @param keptBytes of these, what stays mapped and shared then
 * @param graphBytes of weights below a page, which are in the graph: each process has them for
 *     itself, prepacked or not
 */
public record GraphPlan(long fileBytes, long copiedBytes, long keptBytes, long graphBytes) {
  /** The operators that ONNX Runtime prepacks a weight of. */
  private static final Set<String> PREPACKED = Set.of("MatMul", "Gemm", "MatMulNBits");

  /** Bytes of memory that a process has of the weights, shared or not. */
  public long memoryBytes(boolean prepack) {
    return prepack ? copiedBytes + keptBytes : fileBytes + graphBytes;
  }

  static GraphPlan of(byte[] model, WeightFile weights) {
    return of(model, weights.bytes());
  }

  static GraphPlan of(byte[] model, long fileBytes) {
    Map<String, Long> bytes = new HashMap<>();
    Map<String, Long> inGraph = new HashMap<>();
    Set<String> copied = new HashSet<>();
    Set<String> kept = new HashSet<>();
    try {
      walk(ModelProto.parseFrom(model).getGraph(), bytes, inGraph, copied, kept);
    } catch (InvalidProtocolBufferException e) {
      throw new IllegalStateException("a graph that was just written cannot be read", e);
    }
    long small = sum(inGraph, copied);
    return new GraphPlan(fileBytes, sum(bytes, copied) + small, sum(bytes, kept), small);
  }

  private static void walk(
      GraphProto graph,
      Map<String, Long> bytes,
      Map<String, Long> inGraph,
      Set<String> copied,
      Set<String> kept) {
    for (TensorProto tensor : graph.getInitializerList()) {
      for (StringStringEntryProto entry : tensor.getExternalDataList()) {
        if (entry.getKey().equals("length")) {
          bytes.put(tensor.getName(), Long.parseLong(entry.getValue()));
        }
      }
      if (tensor.getExternalDataCount() == 0) {
        inGraph.put(tensor.getName(), (long) tensor.getRawData().size());
      }
    }
    for (NodeProto node : graph.getNodeList()) {
      (PREPACKED.contains(node.getOpType()) ? copied : kept).addAll(node.getInputList());
      for (AttributeProto attribute : node.getAttributeList()) {
        if (attribute.hasG()) {
          walk(attribute.getG(), bytes, inGraph, copied, kept);
        }
      }
    }
  }

  private static long sum(Map<String, Long> bytes, Set<String> names) {
    return names.stream().mapToLong(name -> bytes.getOrDefault(name, 0L)).sum();
  }
}
