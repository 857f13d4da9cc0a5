package io.epidote.benchmarks;

import io.epidote.engine.sampling.AnswerHistory;
import io.epidote.engine.sampling.Penalties;
import io.epidote.engine.sampling.SampledToken;
import io.epidote.engine.sampling.Sampler;
import io.epidote.engine.sampling.SamplingOptions;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Set;
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

/** One token from a row of logits of SmolLM2's vocabulary. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class SamplingBenchmark {
  private static final int VOCABULARY = 49152;

  private static final SamplingOptions PENALISED =
      new SamplingOptions(64, 0, 1, 0, 7, false, -1, new Penalties(0.5f, 0.5f, 1.1f), 0, Set.of());

  private final Sampler sampler = new Sampler();

  /** Of 1000 tokens. */
  private final AnswerHistory history =
      AnswerHistory.of(
              PENALISED,
              Set.of(2),
              new SplittableRandom(3).ints(1000, 0, VOCABULARY).toArray(),
              new int[0])
          .orElseThrow();

  private final FloatBuffer logits =
      ByteBuffer.allocateDirect(VOCABULARY * Float.BYTES)
          .order(ByteOrder.nativeOrder())
          .asFloatBuffer();
  private int position;

  public SamplingBenchmark() {
    SplittableRandom random = new SplittableRandom(7);
    for (int i = 0; i < VOCABULARY; i++) {
      logits.put(i, (float) random.nextGaussian() * 3);
    }
  }

  private SampledToken sample(float temperature, float topP, int topK, int logprobs) {
    return sampler.sample(
        logits, new SamplingOptions(64, temperature, topP, topK, 7, false, logprobs), position++);
  }

  @Benchmark
  public SampledToken greedy() {
    return sample(0, 1, 0, -1);
  }

  @Benchmark
  public SampledToken greedyPenalised() {
    return sampler.sample(logits, PENALISED, position++, history);
  }

  @Benchmark
  public SampledToken drawn() {
    return sample(1, 1, 0, -1);
  }

  @Benchmark
  public SampledToken nucleus() {
    return sample(1, 0.9f, 0, -1);
  }

  @Benchmark
  public SampledToken topKWithLogprobs() {
    return sample(1, 1, 50, 5);
  }
}
