package io.epidote.encode;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.stage.v1.MediaItem;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

/**
 * Turns image files into tiles beside the engine thread, a few at a time: a decoded image is many
 * times its file, and decoding takes a core.
 */
final class ImageDecoding {
  private static final int AT_A_TIME = 2;

  /** The tiles of one item, and what they cost. */
  record Decoded(List<FloatBuffer> tiles, long nanos) {}

  private final TileSource source;
  private final Semaphore permits = new Semaphore(AT_A_TIME, true);

  ImageDecoding(TileSource source) {
    this.source = source;
  }

  /**
   * Starts to decode; exactly one of the outcomes is reported, on another thread.
   *
   * @param unwanted asked before the work begins; then nothing is reported
   */
  void decode(
      MediaItem item,
      BooleanSupplier unwanted,
      Consumer<Decoded> decoded,
      Consumer<EpidoteException> failed) {
    Thread.ofVirtual()
        .name("epidote-image")
        .start(() -> {
          permits.acquireUninterruptibly();
          try {
            if (unwanted.getAsBoolean()) {
              return;
            }
            long start = System.nanoTime();
            List<FloatBuffer> tiles = source.tiles(item);
            decoded.accept(new Decoded(tiles, System.nanoTime() - start));
          } catch (EpidoteException e) {
            failed.accept(e);
          } catch (RuntimeException | OutOfMemoryError | StackOverflowError e) {
            failed.accept(
                new EpidoteException.Internal("The image could not be decoded on this node.", e));
          } finally {
            permits.release();
          }
        });
  }
}
