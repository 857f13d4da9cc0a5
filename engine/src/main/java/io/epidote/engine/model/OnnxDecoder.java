package io.epidote.engine.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.epidote.engine.kernel.ExpertLoad;
import io.epidote.engine.memory.BlockPool;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** The decoder on ONNX Runtime: lays a step out for {@link DecoderGraph} and its attention. */
final class OnnxDecoder implements Decoder {
  private final DecoderOperators operators;
  private final LoadedGraph graph;
  private final DecoderShape shape;
  private final Precision precision;
  private final Adapters adapters;
  private @Nullable BlockPool pool;
  private long[] planes = new long[0];

  /**
   * @param operators of the graph; closed with the decoder, as are {@code adapters}
   */
  OnnxDecoder(
      DecoderShape shape,
      DecoderOperators operators,
      LoadedGraph graph,
      Precision precision,
      Adapters adapters) {
    this.shape = shape;
    this.operators = operators;
    this.graph = graph;
    this.precision = precision;
    this.adapters = adapters;
  }

  @Override
  public DecoderShape shape() {
    return shape;
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
  public Adapters adapters() {
    return adapters;
  }

  @Override
  public Optional<ExpertLoad> expertLoad() {
    return operators.experts().map(_ -> operators.load());
  }

  @Override
  public ModelMemory memory() {
    ModelMemory session = graph.memory();
    return new ModelMemory(
        session.weightFile(),
        session.weightCopies(),
        session.activations() + operators.scratchBytes(),
        adapters.files());
  }

  @Override
  public Logits step(BlockPool kv, List<SequenceChunk> batch) {
    try (NDManager manager = graph.newManager()) {
      StepLayout layout = StepLayout.of(batch, shape, planes(kv));
      operators.attention().prepare(layout.paged());
      operators.adapters().prepare(layout.adapters());
      NDList inputs =
          new NDList(
              longs(manager, layout.tokenIds(), layout.tokens()),
              manager.create(
                  layout.mediaRows(),
                  new Shape(layout.mediaTokens(), shape.hiddenSize()),
                  DataType.FLOAT32),
              longs(manager, layout.mediaPositions(), layout.mediaTokens(), 1),
              longs(manager, layout.logitRows(), layout.logitRows().length));
      try (NDList result = graph.run(inputs)) {
        FloatBuffer logits =
            result.getFirst().toByteBuffer().order(ByteOrder.nativeOrder()).asFloatBuffer();
        return new Logits(logits, layout.logitRows().length, shape.vocabulary());
      } finally {
        // Attention wrote into the blocks by address.
        Reference.reachabilityFence(kv);
        operators.adapters().prepare(List.of());
      }
    }
  }

  private static NDArray longs(NDManager manager, long[] values, long... dimensions) {
    ByteBuffer bytes =
        ByteBuffer.allocateDirect(values.length * Long.BYTES).order(ByteOrder.nativeOrder());
    LongBuffer view = bytes.asLongBuffer();
    view.put(values);
    return manager.create(bytes, new Shape(dimensions), DataType.INT64);
  }

  /** Addresses of the pool's planes, by layer. */
  private long[] planes(BlockPool kv) {
    if (pool != kv) {
      if (kv.planes() != shape.layers() || kv.blockBytes() != shape.kvBlockBytes()) {
        throw new IllegalArgumentException(
            "The pool's blocks have %d bytes in %d planes; this decoder's KV blocks have %d in %d"
                .formatted(kv.blockBytes(), kv.planes(), shape.kvBlockBytes(), shape.layers()));
      }
      pool = kv;
      planes =
          IntStream.range(0, kv.planes()).mapToLong(plane -> kv.plane(plane).address()).toArray();
    }
    return planes;
  }

  @Override
  public void close() {
    graph.close();
    operators.close();
    adapters.close();
  }
}
