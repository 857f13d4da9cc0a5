package io.epidote.router.request;

import com.google.protobuf.ByteString;
import java.util.List;

/** A media item as a client sent it. */
public sealed interface MediaInput {
  /** All its bytes, one file after another. */
  ByteString data();

  /** The client's file as it was sent. */
  record Picture(ByteString data) implements MediaInput {}

  /**
   * A video as picture files, one for each frame, or as one animated GIF.
   *
   * @param framesPerSecond of the files
   */
  record Video(List<ByteString> files, double framesPerSecond) implements MediaInput {
    /** Where the client says nothing: one in a second, as models are used to. */
    public static final double DEFAULT_FRAMES_PER_SECOND = 1;

    private static final int MAX_FILES = 4096;
    private static final double MAX_FRAMES_PER_SECOND = 1000;

    /** What to send; for messages. */
    public static final String EXPECTED =
        "this router reads no video containers: send the frames, as JPEG files, or an animated GIF";

    public Video {
      files = List.copyOf(files);
    }

    /**
     * Checks what a client sent.
     *
     * @param path of the frames, for messages
     * @throws InvalidField when there are no frames, too many, an empty one, or an odd frame rate
     */
    public static Video of(String path, List<ByteString> files, double framesPerSecond) {
      if (files.isEmpty() || files.size() > MAX_FILES) {
        throw new InvalidField(
            path, "has %d frames; expected 1 to %d".formatted(files.size(), MAX_FILES));
      }
      for (int i = 0; i < files.size(); i++) {
        if (files.get(i).isEmpty()) {
          throw new InvalidField(
              path, "has an empty frame, %d of %d; leave it out".formatted(i + 1, files.size()));
        }
      }
      if (!(framesPerSecond > 0 && framesPerSecond <= MAX_FRAMES_PER_SECOND)) {
        throw new InvalidField(
            path,
            "has %s frames per second; expected a number above 0 and at most %.0f"
                .formatted(framesPerSecond, MAX_FRAMES_PER_SECOND));
      }
      return new Video(files, framesPerSecond);
    }

    @Override
    public ByteString data() {
      return ByteString.copyFrom(files);
    }
  }
}
