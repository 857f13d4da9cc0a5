package io.epidote.engine.model;

import static io.epidote.engine.model.DecoderShape.BLOCK_TOKENS;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.epidote.engine.memory.BlockPool;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The decoder on ONNX Runtime: lays a step out for {@link DecoderGraph} and stores what it made.
 */
final class OnnxDecoder implements Decoder {
  private final LoadedGraph graph;
  private final DecoderShape shape;
  private final long weightBytes;
  private final NDManager poolManager;
  private @Nullable BlockPool pool;
  private List<NDArray> planes = List.of();

  OnnxDecoder(DecoderShape shape, LoadedGraph graph, long weightBytes) {
    this.shape = shape;
    this.graph = graph;
    this.weightBytes = weightBytes;
    this.poolManager = graph.newManager();
  }

  @Override
  public DecoderShape shape() {
    return shape;
  }

  @Override
  public long weightBytes() {
    return weightBytes;
  }

  @Override
  public Logits step(BlockPool kv, List<SequenceChunk> batch) {
    try (NDManager manager = graph.newManager()) {
      StepLayout layout = StepLayout.of(batch, shape);
      int sequences = layout.sequences();
      int heads = shape.heads();
      int kvHeads = shape.kvHeads();
      int longest = layout.longestChunk();
      int blocks = layout.pastBlocks();
      NDList inputs = new NDList(12 + shape.layers());
      inputs.add(longs(manager, layout.tokenIds(), layout.tokens()));
      inputs.add(
          manager.create(
              layout.mediaRows(),
              new Shape(layout.mediaTokens(), shape.hiddenSize()),
              DataType.FLOAT32));
      inputs.add(longs(manager, layout.mediaPositions(), layout.mediaTokens(), 1));
      inputs.add(longs(manager, layout.logitRows(), layout.logitRows().length));
      inputs.add(longs(manager, layout.positions(), 1, layout.tokens()));
      inputs.add(longs(manager, layout.queryRows(), sequences, kvHeads, heads / kvHeads, longest));
      inputs.add(longs(manager, layout.newRows(), sequences, kvHeads, 1, longest));
      inputs.add(longs(manager, layout.contextRows(), layout.tokens(), heads));
      inputs.add(longs(manager, layout.pastKeyRuns(), sequences, kvHeads, blocks));
      inputs.add(longs(manager, layout.pastValueRuns(), sequences, kvHeads, blocks));
      inputs.add(longs(manager, layout.pastLengths(), sequences, 1));
      inputs.addAll(planes(kv));
      try (NDList result = graph.run(inputs)) {
        store(result.get(1).toByteBuffer(), layout.tokens(), kv, batch);
        FloatBuffer logits =
            result.get(0).toByteBuffer().order(ByteOrder.nativeOrder()).asFloatBuffer();
        return new Logits(logits, layout.logitRows().length, shape.vocabulary());
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

  /** The pool as the graph's inputs: an array over each plane's own memory, made once. */
  private List<NDArray> planes(BlockPool kv) {
    if (pool != kv) {
      if (kv.planes() != shape.layers() || kv.blockBytes() != shape.kvBlockBytes()) {
        throw new IllegalArgumentException(
            "The pool's blocks have %d bytes in %d planes; this decoder's KV blocks have %d in %d"
                .formatted(kv.blockBytes(), kv.planes(), shape.kvBlockBytes(), shape.layers()));
      }
      planes.forEach(NDArray::close);
      pool = kv;
      Shape runs = new Shape((long) kv.total() * shape.kvRows(), BLOCK_TOKENS * shape.kvWidth());
      planes =
          IntStream.range(0, kv.planes())
              .mapToObj(plane -> poolManager.create(kv.plane(plane), runs, DataType.FLOAT32))
              .toList();
    }
    return planes;
  }

  /**
   * Writes new keys and values into the blocks.
   *
   * @param newKv {@code [layers * 2, tokens, kvRows / 2 * kvWidth]}
   */
  private void store(ByteBuffer newKv, int tokens, BlockPool kv, List<SequenceChunk> batch) {
    int rowBytes = shape.kvWidth() * Float.BYTES;
    int halfRows = shape.kvRows() / 2;
    int packed = 0;
    for (SequenceChunk chunk : batch) {
      for (int i = 0; i < chunk.tokenIds().length; i++, packed++) {
        int position = chunk.pastTokens() + i;
        int block = chunk.blocks()[position / BLOCK_TOKENS];
        int slot = position % BLOCK_TOKENS;
        for (int layer = 0; layer < shape.layers(); layer++) {
          ByteBuffer plane = kv.plane(layer);
          int base = block * shape.kvPlaneBytes() + slot * rowBytes;
          for (int row = 0; row < shape.kvRows(); row++) {
            int half = row / halfRows;
            plane.put(
                base + row * BLOCK_TOKENS * rowBytes,
                newKv,
                (((layer * 2 + half) * tokens + packed) * halfRows + row % halfRows) * rowBytes,
                rowBytes);
          }
        }
      }
    }
  }

  @Override
  public void close() {
    poolManager.close();
    graph.close();
  }
}
