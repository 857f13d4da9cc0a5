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
  private @Nullable NDArray poolArray;

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
      NDList inputs = new NDList(10);
      inputs.add(longs(manager, layout.tokenIds(), layout.tokens()));
      inputs.add(longs(manager, layout.positions(), 1, layout.tokens()));
      inputs.add(
          manager.create(
              layout.mediaRows(),
              new Shape(layout.mediaTokens(), shape.hiddenSize()),
              DataType.FLOAT32));
      inputs.add(longs(manager, layout.mediaPositions(), layout.mediaTokens(), 1));
      inputs.add(longs(manager, layout.padIndex(), layout.sequences(), layout.longestChunk()));
      inputs.add(longs(manager, layout.unpadIndex(), layout.tokens()));
      inputs.add(longs(manager, layout.blockTable(), layout.sequences(), layout.pastBlocks()));
      inputs.add(longs(manager, layout.pastLengths(), layout.sequences(), 1));
      inputs.add(longs(manager, layout.logitRows(), layout.logitRows().length));
      inputs.add(poolArray(kv));
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

  /** The pool as the graph's input: one array over the pool's own memory, made once. */
  private NDArray poolArray(BlockPool kv) {
    if (poolArray == null || pool != kv) {
      if (kv.blockBytes() != shape.kvBlockBytes()) {
        throw new IllegalArgumentException(
            "The pool's blocks have %d bytes; this decoder's KV blocks have %d"
                .formatted(kv.blockBytes(), shape.kvBlockBytes()));
      }
      if (poolArray != null) {
        poolArray.close();
      }
      pool = kv;
      poolArray =
          poolManager.create(
              kv.memory(),
              new Shape(kv.total() * shape.layers() * 2L, BLOCK_TOKENS * kvWidth()),
              DataType.FLOAT32);
    }
    return poolArray;
  }

  private int kvWidth() {
    return shape.kvHeads() * shape.headDim();
  }

  /**
   * Writes new keys and values into the blocks.
   *
   * @param newKv {@code [layers * 2, tokens, kvHeads * headDim]}
   */
  private void store(ByteBuffer newKv, int tokens, BlockPool kv, List<SequenceChunk> batch) {
    int rowBytes = kvWidth() * Float.BYTES;
    int packed = 0;
    for (SequenceChunk chunk : batch) {
      int count = chunk.tokenIds().length;
      int done = 0;
      while (done < count) {
        int position = chunk.pastTokens() + done;
        int offset = position % BLOCK_TOKENS;
        int run = Math.min(BLOCK_TOKENS - offset, count - done);
        ByteBuffer block = kv.block(chunk.blocks()[position / BLOCK_TOKENS]);
        for (int plane = 0; plane < shape.layers() * 2; plane++) {
          block.put(
              (plane * BLOCK_TOKENS + offset) * rowBytes,
              newKv,
              (plane * tokens + packed + done) * rowBytes,
              run * rowBytes);
        }
        done += run;
      }
      packed += count;
    }
  }

  @Override
  public void close() {
    poolManager.close();
    graph.close();
  }
}
