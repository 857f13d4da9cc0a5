package io.epidote.engine.sampling;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.model.Logits;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Samples the rows of a step on the threads that the model has left idle. The caller's thread works
 * as one of them, and a step of little work wakes no other. Used by one thread; the result does not
 * depend on which thread samples which row.
 */
public final class BatchSampler implements AutoCloseable {
  /**
   * Logits that a thread should have to look through before it is woken, which takes about as long:
   * tens of microseconds.
   */
  private static final long WORTH_A_THREAD = 1 << 19;

  /** A draw takes exponentials, which greedy choice does not. */
  private static final long COST_OF_DRAW = 100;

  /** What is changed is copied first. */
  private static final long COPIES = 2;

  /** The first is the caller's. */
  private final List<Sampler> samplers;

  private final ExecutorService helpers;

  /**
   * How to choose a row's token.
   *
   * @param position of the token, in its sequence
   * @param history that changes the logits; empty where they are the model's own
   */
  public record Row(SamplingOptions options, int position, Optional<AnswerHistory> history) {
    public Row {
      history = history.filter(AnswerHistory::isActive);
    }

    /** From the model's own logits. */
    public Row(SamplingOptions options, int position) {
      this(options, position, Optional.empty());
    }
  }

  /**
   * @param threads the model's, the caller's among them
   */
  public BatchSampler(int threads) {
    samplers = Stream.generate(Sampler::new).limit(threads).toList();
    // They are started when they are first needed.
    helpers =
        Executors.newFixedThreadPool(
            Math.max(1, threads - 1),
            Thread.ofPlatform().daemon().name("epidote-sampler-", 0).factory());
  }

  /**
   * Samples every row. When this returns, nobody reads the logits any more.
   *
   * @param logits a row for each of {@code rows}
   * @return the tokens, by row
   */
  public List<SampledToken> sample(Logits logits, List<Row> rows) {
    if (logits.rows() != rows.size()) {
      throw new IllegalArgumentException(
          "%d rows of logits for %d tokens to sample".formatted(logits.rows(), rows.size()));
    }
    if (rows.isEmpty()) {
      return List.of();
    }
    Batch batch = new Batch(logits, rows);
    int threads = threads(logits.vocabulary(), rows);
    for (Sampler sampler : samplers.subList(1, threads)) {
      helpers.execute(() -> batch.run(sampler));
    }
    batch.run(samplers.getFirst());
    return batch.await();
  }

  private int threads(int vocabulary, List<Row> rows) {
    long work = 0;
    for (Row row : rows) {
      boolean greedy = row.options().isGreedy() && row.options().logprobs() < 0;
      work += greedy ? vocabulary : vocabulary * COST_OF_DRAW;
      work += row.history().isPresent() ? COPIES * vocabulary : 0;
    }
    long worth = Math.clamp(work / WORTH_A_THREAD, 1, rows.size());
    return (int) Math.min(worth, samplers.size());
  }

  /** The rows of a step, of which each thread takes the next as it comes to it. */
  private static final class Batch {
    private final Logits logits;
    private final List<Row> rows;

    /** Each is written before {@link #unfinished} says so. */
    private final @Nullable SampledToken[] tokens;

    private final AtomicInteger next = new AtomicInteger();
    private final AtomicInteger unfinished;
    private final CompletableFuture<Boolean> done = new CompletableFuture<>();
    private volatile @Nullable Throwable failure;

    Batch(Logits logits, List<Row> rows) {
      this.logits = logits;
      this.rows = rows;
      this.tokens = new SampledToken[rows.size()];
      this.unfinished = new AtomicInteger(rows.size());
    }

    /** A thread that comes late finds no row left, and touches neither logits nor sampler. */
    void run(Sampler sampler) {
      for (int row = next.getAndIncrement(); row < rows.size(); row = next.getAndIncrement()) {
        Row wanted = rows.get(row);
        try {
          tokens[row] = sample(sampler, logits.row(row), wanted);
        } catch (RuntimeException | Error e) {
          failure = e;
        }
        if (unfinished.decrementAndGet() == 0) {
          done.complete(true);
        }
      }
    }

    private static SampledToken sample(Sampler sampler, FloatBuffer logits, Row wanted) {
      return wanted.history().isEmpty()
          ? sampler.sample(logits, wanted.options(), wanted.position())
          : sampler.sample(logits, wanted.options(), wanted.position(), wanted.history().get());
    }

    List<SampledToken> await() {
      done.join();
      if (failure instanceof Error error) {
        throw error;
      }
      if (failure instanceof RuntimeException exception) {
        throw exception;
      }
      List<SampledToken> sampled = new ArrayList<>();
      for (SampledToken token : tokens) {
        sampled.add(requireNonNull(token));
      }
      return sampled;
    }
  }

  /** Ends the threads; no call may be under way. */
  @Override
  public void close() {
    helpers.shutdown();
  }
}
