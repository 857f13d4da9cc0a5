package io.epidote.engine.model;

import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.checkpoint.VisionConfig;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.List;

/** The vision tower on ONNX Runtime. */
final class OnnxVisionEncoder implements VisionEncoder {
  private static final int MAX_BATCH = 16;

  private final TowerOperators operators;
  private final LoadedGraph graph;
  private final Precision precision;
  private final int imageSize;
  private final int tileTokens;
  private final int hiddenSize;
  private ByteBuffer staging = ByteBuffer.allocateDirect(0);

  /**
   * @param operators of the graph; closed with the encoder
   */
  OnnxVisionEncoder(
      ModelConfig model, TowerOperators operators, LoadedGraph graph, Precision precision) {
    VisionConfig config = model.vision().orElseThrow();
    this.operators = operators;
    this.graph = graph;
    this.precision = precision;
    this.imageSize = config.imageSize();
    this.tileTokens = config.mediaTokens();
    this.hiddenSize = model.text().hiddenSize();
  }

  @Override
  public int tileTokens() {
    return tileTokens;
  }

  @Override
  public int hiddenSize() {
    return hiddenSize;
  }

  @Override
  public int maxBatch() {
    return MAX_BATCH;
  }

  @Override
  public void encode(List<FloatBuffer> tiles, List<ByteBuffer> outputs) {
    int tileFloats = 3 * imageSize * imageSize;
    int bytes = tiles.size() * tileFloats * Float.BYTES;
    if (staging.capacity() < bytes) {
      staging = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }
    FloatBuffer pixels = staging.asFloatBuffer();
    for (FloatBuffer tile : tiles) {
      if (tile.remaining() != tileFloats) {
        throw new IllegalArgumentException(
            "A tile has %d floats; the encoder takes %d".formatted(tile.remaining(), tileFloats));
      }
      pixels.put(tile.duplicate());
    }
    try (NDManager manager = graph.newManager()) {
      Shape shape = new Shape(tiles.size(), 3, imageSize, imageSize);
      NDList inputs =
          new NDList(
              manager.create(
                  staging.slice(0, bytes).order(ByteOrder.nativeOrder()), shape, DataType.FLOAT32));
      try (NDList result = graph.run(inputs)) {
        ByteBuffer tokens = result.getFirst().toByteBuffer();
        for (int i = 0; i < outputs.size(); i++) {
          outputs.get(i).duplicate().put(tokens.slice(i * tileBytes(), tileBytes()));
        }
      }
    }
  }

  @Override
  public long weightBytes() {
    return graph.weightBytes();
  }

  @Override
  public String precision() {
    return precision.word();
  }

  @Override
  public ModelMemory memory() {
    ModelMemory session = graph.memory();
    return new ModelMemory(
        session.weightFile(),
        session.weightCopies(),
        session.activations() + operators.attention().scratchBytes() + staging.capacity());
  }

  @Override
  public void close() {
    graph.close();
    operators.close();
  }
}
