package io.epidote.encode;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.stage.v1.MediaItem;
import java.nio.FloatBuffer;
import java.util.ArrayDeque;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.function.ToIntFunction;

/**
 * Turns image files into tiles beside the engine thread. A decoded image is many times its file,
 * and its tiles are, too: so the next file is begun when few tiles are left to encode, and memory
 * does not grow with what waits. Belongs to the engine thread, but for the decoding itself.
 */
final class Pictures {
  /** A file, and what is to be made of its tiles. */
  record Picture(MediaItem item, List<TileWork> works) {
    int fileBytes() {
      return item.getData().size();
    }

    boolean isWanted() {
      return works.stream().anyMatch(TileWork::isWanted);
    }
  }

  /** What becomes of a picture; on the engine thread. */
  interface Outcome {
    /**
     * @param tiles all of the item's
     */
    void decoded(Picture picture, List<FloatBuffer> tiles, long nanos);

    void failed(Picture picture, EpidoteException error);
  }

  private final TileSource source;
  private final Executor engine;
  private final Outcome outcome;
  private final ArrayDeque<Picture> waiting = new ArrayDeque<>();
  private long fileBytes;
  private int decoding;
  private int tilesDecoding;

  Pictures(TileSource source, Executor engine, Outcome outcome) {
    this.source = requireNonNull(source, "source is null");
    this.engine = requireNonNull(engine, "engine is null");
    this.outcome = requireNonNull(outcome, "outcome is null");
  }

  void add(Picture picture) {
    waiting.add(picture);
    fileBytes += picture.fileBytes();
  }

  /** Of the files that wait or are being decoded. */
  long fileBytes() {
    return fileBytes;
  }

  /** Some request has ended: pictures that were for it alone need not be decoded. */
  void drop() {
    waiting.removeIf(picture -> {
      boolean dropped = !picture.isWanted();
      fileBytes -= dropped ? picture.fileBytes() : 0;
      return dropped;
    });
  }

  /**
   * Begins what there is room for.
   *
   * @param ready tiles that are decoded and not encoded
   * @param room how many may be decoded before they are encoded
   * @param turn place of a tile among all that wait; the least is decoded first
   */
  void advance(int ready, PictureRoom room, ToIntFunction<TileWork> turn) {
    while (!waiting.isEmpty()) {
      Picture first = first(turn);
      int next = first.item().getTiles();
      if (!room.mayBegin(decoding, tilesDecoding, ready, next)) {
        return;
      }
      waiting.remove(first);
      begin(first);
    }
  }

  private Picture first(ToIntFunction<TileWork> turn) {
    return Collections.min(
        waiting,
        Comparator.comparingInt(
            picture -> picture.works().stream().mapToInt(turn).min().orElse(Integer.MAX_VALUE)));
  }

  private void begin(Picture picture) {
    decoding++;
    tilesDecoding += picture.item().getTiles();
    Thread.ofVirtual()
        .name("epidote-image")
        .start(() -> {
          Runnable report = decode(picture);
          engine.execute(() -> {
            decoding--;
            fileBytes -= picture.fileBytes();
            tilesDecoding -= picture.item().getTiles();
            report.run();
          });
        });
  }

  private Runnable decode(Picture picture) {
    try {
      long start = System.nanoTime();
      List<FloatBuffer> tiles = source.tiles(picture.item());
      long nanos = System.nanoTime() - start;
      return () -> outcome.decoded(picture, tiles, nanos);
    } catch (EpidoteException e) {
      return () -> outcome.failed(picture, e);
    } catch (RuntimeException | OutOfMemoryError | StackOverflowError e) {
      EpidoteException told =
          new EpidoteException.Internal("The image could not be decoded on this node.", e);
      return () -> outcome.failed(picture, told);
    }
  }
}
