package io.epidote.engine.fuzz;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Feeds a reader with changed copies of good inputs. A reader may refuse; it may not throw what it
 * does not declare, take long, or allocate without bound. Inputs follow from a seed alone. {@code
 * -Depidote.fuzz.seconds=600} runs for longer than the second that a build has, with other inputs
 * by {@code -Depidote.fuzz.seed=N}. It knows nothing of the code's branches: what it finds is what
 * ordinary bad luck and simple malice find.
 */
public final class Fuzz {
  private static final long SECONDS = Long.getLong("epidote.fuzz.seconds", 1);
  private static final long SEED = Long.getLong("epidote.fuzz.seed", 42);
  private static final int MOST_CHANGES = 8;

  /**
   * A new input is kept as something to change further, for as long as there are fewer than so
   * many.
   */
  private static final int MOST_KEPT = 512;

  private final String name;
  private final List<byte[]> corpus;
  private final long mostNanos;
  private final long mostBytes;

  /**
   * @param corpus good inputs
   * @param mostMillis that one input may take
   * @param mostBytes of heap that the reader may allocate for one
   */
  public Fuzz(String name, List<byte[]> corpus, long mostMillis, long mostBytes) {
    this.name = name;
    this.corpus = new ArrayList<>(corpus);
    this.mostNanos = mostMillis * 1_000_000;
    this.mostBytes = mostBytes;
  }

  /** Reads one input; throws nothing when it was refused as it should be. */
  @FunctionalInterface
  public interface Reader {
    /**
     * @return whether the input was good, or got so far that it is worth to be changed further
     */
    boolean read(byte[] input) throws Exception;
  }

  /**
   * Runs until the time is over.
   *
   * @return how many inputs were read
   * @throws AssertionError with the file of the input that was not
   */
  public long run(Reader reader) throws Exception {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    SplittableRandom random = new SplittableRandom(SEED);
    long end = System.nanoTime() + SECONDS * 1_000_000_000;
    long count = 0;
    long kept = 0;
    // The first inputs load classes.
    for (byte[] good : List.copyOf(corpus)) {
      if (!reader.read(good)) {
        throw new AssertionError(name + " refuses a good input");
      }
    }
    while (System.nanoTime() < end) {
      byte[] input = Mutator.change(random, corpus, 1 + random.nextInt(MOST_CHANGES));
      long allocated = threads.getCurrentThreadAllocatedBytes();
      long begun = System.nanoTime();
      boolean good;
      try {
        good = reader.read(input);
      } catch (Throwable e) {
        throw failed(input, "threw " + e, e);
      }
      long nanos = System.nanoTime() - begun;
      long bytes = threads.getCurrentThreadAllocatedBytes() - allocated;
      if (bytes > mostBytes) {
        throw failed(input, "allocated %d bytes".formatted(bytes), null);
      }
      if (nanos > mostNanos) {
        // Once more: a busy machine may have been it.
        begun = System.nanoTime();
        reader.read(input);
        if (System.nanoTime() - begun > mostNanos) {
          throw failed(input, "took %d ms".formatted(nanos / 1_000_000), null);
        }
      }
      if (good && corpus.size() < MOST_KEPT && random.nextInt(20) == 0) {
        corpus.add(input);
        kept++;
      }
      count++;
    }
    System.out.printf(
        "fuzz %s: %d inputs in %d s, seed %d, %d of them changed further%n",
        name, count, SECONDS, SEED, kept);
    return count;
  }

  private AssertionError failed(
      byte[] input, String what, @org.jspecify.annotations.Nullable Throwable cause)
      throws Exception {
    Path file = Files.write(Files.createTempFile("epidote-fuzz-" + name + "-", ".bin"), input);
    return new AssertionError(
        "%s %s on %d bytes, kept in %s".formatted(name, what, input.length, file), cause);
  }
}
