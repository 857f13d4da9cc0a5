package io.epidote.engine.image;

import io.epidote.engine.error.EpidoteException.TooLarge;
import java.time.Duration;
import javax.imageio.ImageReader;
import javax.imageio.event.IIOReadProgressListener;

/**
 * Ends the decoding of a file that takes far longer than its pixels are worth: a small JPEG may
 * have thousands of scans over the same pixels, a GIF thousands of frames. Readers ask between
 * lines. Of one file.
 */
final class DecodeDeadline implements IIOReadProgressListener {
  private final Duration most;
  private long begun;
  private boolean late;

  DecodeDeadline(Duration most) {
    this.most = most;
  }

  /**
   * @throws TooLarge when the reader was told to stop, so that what it has is no picture
   */
  void check() {
    if (late) {
      throw new TooLarge(
          "the picture takes longer than %d s to decode; send it in a simpler form, with fewer scans or frames"
              .formatted(most.toSeconds()));
    }
  }

  /** Whether the time since the first look is over; from then on it is. */
  boolean isOver() {
    long now = System.nanoTime();
    if (begun == 0) {
      begun = now;
    }
    late |= now - begun > most.toNanos();
    return late;
  }

  private void look(ImageReader source) {
    if (isOver()) {
      source.abort();
    }
  }

  @Override
  public void imageStarted(ImageReader source, int imageIndex) {
    look(source);
  }

  @Override
  public void imageProgress(ImageReader source, float percentageDone) {
    look(source);
  }

  @Override
  public void imageComplete(ImageReader source) {
    look(source);
  }

  @Override
  public void readAborted(ImageReader source) {}

  @Override
  public void sequenceStarted(ImageReader source, int minIndex) {}

  @Override
  public void sequenceComplete(ImageReader source) {}

  @Override
  public void thumbnailStarted(ImageReader source, int imageIndex, int thumbnailIndex) {}

  @Override
  public void thumbnailProgress(ImageReader source, float percentageDone) {}

  @Override
  public void thumbnailComplete(ImageReader source) {}
}
