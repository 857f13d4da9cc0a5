package io.epidote.encode;

/**
 * What encoding takes here, measured on the requests that are served: how long a tile takes in
 * batches of 1, 2, 4 ... tiles, and how long a file takes to become tiles.
 *
 * <p>Batches are as large as pays: the first ones are of every size in turn, as tiles wait for
 * them, and later ones of the size from which on doubling it saves little of a tile's cost. A
 * smaller batch has its tokens out earlier for the stage that waits for them. Now and then the
 * sizes next to it are tried again, and sizes are compared by their quickest batches of late: what
 * disturbs a measurement only ever adds to it. Belongs to the engine thread.
 */
public final class EncodeCosts {
  /** What a batch of twice the size must save of a tile's cost. */
  private static final double WORTHWHILE = 0.95;

  /** Weight of the latest measurement. */
  private static final double FORGETTING = 0.25;

  /** The first of each size meets code that is not compiled yet. */
  private static final int SAMPLES = 2;

  /** By how much the quickest batch is forgotten with each that was slower. */
  private static final double DRIFT = 0.01;

  /** Batches from one trial of another size to the next. */
  private static final int TRIAL = 64;

  private final double[] tileMs;
  private final double[] quickestMs;
  private int batches;
  private final int[] samples;
  private double pictureMs;

  /**
   * @param maxBatch tiles that the encoder takes at a time
   */
  public EncodeCosts(int maxBatch) {
    int sizes = 1 + (Integer.SIZE - 1 - Integer.numberOfLeadingZeros(maxBatch));
    this.tileMs = new double[sizes];
    this.quickestMs = new double[sizes];
    this.samples = new int[sizes];
  }

  /** A batch took that long. */
  public void batch(int tiles, long nanos) {
    int size = Integer.SIZE - 1 - Integer.numberOfLeadingZeros(tiles);
    if (tiles != 1 << size) {
      return;
    }
    batches++;
    double ms = nanos / 1e6 / tiles;
    boolean first = samples[size]++ < SAMPLES;
    quickestMs[size] = first ? ms : Math.min(ms, quickestMs[size] * (1 + DRIFT));
    tileMs[size] = first ? ms : tileMs[size] + FORGETTING * (ms - tileMs[size]);
  }

  /** A file took that long to become tiles. */
  public void picture(long nanos) {
    double ms = nanos / 1e6;
    pictureMs = pictureMs == 0 ? ms : pictureMs + FORGETTING * (ms - pictureMs);
  }

  /** Tiles to take at a time when that many wait. */
  public int batch(int waiting) {
    int most = Integer.SIZE - 1 - Integer.numberOfLeadingZeros(Math.max(1, waiting));
    for (int size = 0; size <= Math.min(most, tileMs.length - 1); size++) {
      if (!isMeasured(size)) {
        return 1 << size;
      }
    }
    return 1 << Math.min(most, trial(targetSize()));
  }

  private boolean isMeasured(int size) {
    return samples[size] >= SAMPLES;
  }

  /** The size, or in its turn one next to it. */
  private int trial(int size) {
    int tried =
        switch (batches % (2 * TRIAL)) {
          case TRIAL - 1 -> size - 1;
          case 2 * TRIAL - 1 -> size + 1;
          default -> size;
        };
    return Math.clamp(tried, 0, tileMs.length - 1);
  }

  /** Tiles to take at a time when there are enough. */
  public int target() {
    return 1 << targetSize();
  }

  /** The best of those that were measured: as many tiles as the others take may never wait. */
  private int targetSize() {
    int best = 0;
    for (int size = 1; size < tileMs.length; size++) {
      double worthwhile = quickestMs[best] * Math.pow(WORTHWHILE, size - best);
      best = isMeasured(size) && quickestMs[size] < worthwhile ? size : best;
    }
    return best;
  }

  /**
   * Milliseconds of a tile in batches of {@link #target}; 0 before there was enough to measure:
   * what the first one took, with code that was not compiled, would be believed for long.
   */
  public double tileMs() {
    int size = targetSize();
    return isMeasured(size) ? tileMs[size] : 0;
  }

  /** Milliseconds from a file to its tiles; 0 before the first. */
  public double pictureMs() {
    return pictureMs;
  }
}
