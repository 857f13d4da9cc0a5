package io.epidote.engine.image;

import io.epidote.engine.checkpoint.ConfigFile;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.TooLarge;
import java.awt.image.BufferedImage;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Makes tiles of videos, one for each frame that the model looks at, as Hugging Face's SmolVLM
 * video processor does. {@link #plan} reads headers only; {@link #tiles} decodes. Safe for use by
 * several threads.
 */
public final class VideoProcessor {
  private final PictureReader reader;
  private final FrameSampling sampling;
  private final GridPreprocessing preprocessing;

  private VideoProcessor(
      PictureReader reader, FrameSampling sampling, GridPreprocessing preprocessing) {
    this.reader = reader;
    this.sampling = sampling;
    this.preprocessing = preprocessing;
  }

  /**
   * Reads {@code preprocessor_config.json}; empty when the model takes no videos.
   *
   * @throws BadCheckpoint when it wants what Epidote cannot do
   */
  public static Optional<VideoProcessor> open(Path folder, ModelConfig config, ImageLimits limits) {
    if (config.vision().isEmpty()) {
      return Optional.empty();
    }
    Preprocessing pictures = Preprocessing.read(folder, config.vision().get().connector());
    if (!(pictures instanceof GridPreprocessing grid)) {
      return Optional.empty();
    }
    return FrameSampling.read(ConfigFile.read(folder.resolve("preprocessor_config.json")))
        .map(sampling ->
            new VideoProcessor(
                new PictureReader(limits), sampling, grid.unsplit(sampling.longestEdge())));
  }

  /**
   * Chooses the frames to look at.
   *
   * @throws InvalidRequest when a file is no picture or its header is cut off
   * @throws TooLarge when a file or a picture is over a limit
   */
  public VideoPlan plan(VideoFile video) {
    if (isAnimation(video)) {
      Animation animation = Animation.probe(reader, video.files().getFirst());
      List<Integer> frames = sampling.ofVideo(animation.frames(), animation.duration());
      return new VideoPlan(
          frames, frames.stream().map(animation.starts()::get).toList(), animation.duration());
    }
    List<Integer> frames = sampling.ofChosen(video.files().size());
    for (int frame : frames) {
      inFrame(frame, video, () -> reader.probe(video.files().get(frame)));
    }
    return new VideoPlan(
        frames,
        frames.stream().map(frame -> frame / video.framesPerSecond()).toList(),
        video.files().size() / video.framesPerSecond());
  }

  /**
   * Decodes the frames of the plan.
   *
   * @return for each a direct buffer {@code [3, tileSize, tileSize]} from position 0, native order,
   *     normalised; the caller's, who gives it back to {@code buffers} when it has read it
   * @throws InvalidRequest when a file is no picture, truncated or damaged
   * @throws TooLarge when a file or a picture is over a limit
   */
  public List<FloatBuffer> tiles(VideoFile video, TileBuffers buffers) {
    List<FloatBuffer> tiles = new ArrayList<>();
    VideoPlan plan = plan(video);
    if (isAnimation(video)) {
      ByteBuffer file = video.files().getFirst();
      try (PixelMemory.Room room = buffers.pictures().open()) {
        room.await(reader.probe(file));
        Animation.decode(
            reader,
            file,
            plan.frames(),
            picture -> tiles.addAll(preprocessing.tiles(convert(picture), buffers)));
      }
      return tiles;
    }
    for (int frame : plan.frames()) {
      tiles.addAll(
          inFrame(
              frame,
              video,
              () ->
                  reader.decode(
                      video.files().get(frame),
                      buffers.pictures(),
                      picture -> preprocessing.tiles(convert(picture), buffers))));
    }
    return tiles;
  }

  private BufferedImage convert(BufferedImage picture) {
    return RgbConverter.convert(picture, preprocessing.pixels().transparency());
  }

  private static boolean isAnimation(VideoFile video) {
    ByteBuffer first = video.files().getFirst();
    return video.files().size() == 1 && ImageFormat.of(first).equals(Optional.of(ImageFormat.GIF));
  }

  private interface Work<T> {
    T run();
  }

  private static <T> T inFrame(int frame, VideoFile video, Work<T> work) {
    String where = "frame %d of %d: ".formatted(frame + 1, video.files().size());
    try {
      return work.run();
    } catch (InvalidRequest e) {
      throw new InvalidRequest(where + e.getMessage(), e);
    } catch (TooLarge e) {
      throw new TooLarge(where + e.getMessage());
    }
  }
}
