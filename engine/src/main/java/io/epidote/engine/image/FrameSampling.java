package io.epidote.engine.image;

import io.epidote.engine.checkpoint.ConfigFile;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Which frames of a video are looked at: {@code video_sampling} of {@code
 * preprocessor_config.json}, by the rules of Hugging Face's SmolVLM video processor.
 *
 * @param framesPerSecond wanted of a video
 * @param maxFrames of a video, whatever its length
 * @param longestEdge to which frames are resized first, pixels
 */
record FrameSampling(double framesPerSecond, int maxFrames, int longestEdge) {
  /** Frames whose number a prompt can write out. */
  private static final int MAX_FRAMES = 999;

  /** Seconds that are left out at both ends of a long video. */
  private static final double SKIPPED_SECONDS = 1;

  /** Empty when the model's config knows no videos. */
  static Optional<FrameSampling> read(ConfigFile config) {
    return config
        .object("video_sampling")
        .map(sampling -> {
          double framesPerSecond = sampling.number("fps", 1);
          int maxFrames = sampling.positive("max_frames");
          if (framesPerSecond <= 0) {
            throw sampling.wrong("fps", "a number above 0");
          }
          if (maxFrames > MAX_FRAMES) {
            throw sampling.wrong("max_frames", "at most " + MAX_FRAMES);
          }
          return new FrameSampling(
              framesPerSecond, maxFrames, GridPreprocessing.edge(sampling, "video_size", 4 * 364));
        });
  }

  /** Of frames that the client chose: all, or as many as the model takes, evenly. */
  List<Integer> ofChosen(int frames) {
    return spread(0, frames - 1, Math.min(frames, maxFrames));
  }

  /**
   * Of a whole video.
   *
   * @param frames in it
   * @param duration seconds
   */
  List<Integer> ofVideo(int frames, double duration) {
    int wanted =
        (int) Math.clamp(Math.rint(framesPerSecond * duration), 1, Math.min(frames, maxFrames));
    int first = 0;
    int last = frames - 1;
    if (duration - 2 * SKIPPED_SECONDS > maxFrames * framesPerSecond) {
      double skipped = SKIPPED_SECONDS * frames / duration;
      first = (int) skipped;
      last = Math.min(last, (int) (frames - skipped));
      if (first >= last) {
        first = 0;
        last = frames - 1;
      }
    }
    return spread(first, last, wanted);
  }

  private static List<Integer> spread(int first, int last, int count) {
    double step = count > 1 ? (double) (last - first) / (count - 1) : 0;
    return IntStream.range(0, count)
        .map(i -> i > 0 && i == count - 1 ? last : (int) (first + i * step))
        .distinct()
        .boxed()
        .toList();
  }
}
