package io.epidote.benchmarks;

import io.epidote.engine.memory.BlockKey;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.memory.KeyChain;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/** What is done with KV blocks beside computing; blocks of SmolLM2-135M's size. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class BlockBenchmark {
  private static final int LAYERS = 30;
  private static final int PLANE_BYTES = 2 * 16 * 3 * 64 * Float.BYTES;
  private static final int PROMPT = 512;

  private final BlockPool pool = new BlockPool("kv", LAYERS, PLANE_BYTES, 64);
  private final int[] blocks = pool.tryAllocate(32).orElseThrow();
  private final ByteBuffer received = ByteBuffer.allocateDirect(LAYERS * PLANE_BYTES);
  private final KeyChain chain = new KeyChain(16, "", "weights", "");
  private final int[] tokens = new SplittableRandom(7).ints(PROMPT, 0, 49152).toArray();
  private int next;

  private int block() {
    next = (next + 1) % blocks.length;
    return blocks[next];
  }

  /** A block's bytes as they come from the network, into its planes. */
  @Benchmark
  public ByteBuffer pageWrite() {
    int from = 0;
    for (ByteBuffer part : pool.parts(block())) {
      part.put(0, received, from, part.capacity());
      from += part.capacity();
    }
    return received;
  }

  /** A block's bytes from its planes into one buffer, as for swapping out. */
  @Benchmark
  public ByteBuffer blockGather() {
    received.clear();
    pool.parts(block()).forEach(received::put);
    return received;
  }

  /** A shared block's own copy, and back. */
  @Benchmark
  public int copyOnWrite() {
    int block = blocks[0];
    pool.retain(block);
    int copy = pool.tryOwn(block).orElseThrow();
    pool.release(copy);
    return copy;
  }

  /** The keys of a prompt of 512 tokens. */
  @Benchmark
  public List<BlockKey> keyChain() {
    return chain.keys(tokens, List.of());
  }
}
