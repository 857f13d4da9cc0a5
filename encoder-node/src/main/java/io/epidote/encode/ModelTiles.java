package io.epidote.encode;

import static java.util.Objects.requireNonNull;

import com.google.protobuf.ByteString;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.image.ImageLimits;
import io.epidote.engine.image.ImageProcessor;
import io.epidote.engine.image.TileBuffers;
import io.epidote.engine.image.VideoFile;
import io.epidote.engine.image.VideoProcessor;
import io.epidote.proto.stage.v1.MediaItem;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Tiles as a model folder's preprocessing makes them. */
public final class ModelTiles implements TileSource {
  /** When a frame was is the prompt's business, not the tile's. */
  private static final double ANY_RATE = 1;

  private final ImageProcessor images;
  private final Optional<VideoProcessor> videos;
  private final TileBuffers buffers;

  private ModelTiles(ImageProcessor images, Optional<VideoProcessor> videos, TileBuffers buffers) {
    this.images = requireNonNull(images, "images is null");
    this.videos = requireNonNull(videos, "videos is null");
    this.buffers = buffers;
  }

  /**
   * Reads the folder's preprocessing.
   *
   * @param pictureBytes memory of pictures that are being decoded
   * @throws io.epidote.engine.error.EpidoteException.BadCheckpoint when it is not supported
   */
  public static ModelTiles open(
      Path folder, ModelConfig config, ImageLimits limits, long pictureBytes) {
    return new ModelTiles(
        ImageProcessor.open(folder, config, limits),
        VideoProcessor.open(folder, config, limits),
        new TileBuffers(pictureBytes));
  }

  @Override
  public List<FloatBuffer> tiles(MediaItem item) {
    if (item.getFrameBytesCount() == 0) {
      return images.tiles(item.getData().asReadOnlyByteBuffer(), buffers);
    }
    VideoProcessor processor =
        videos.orElseThrow(() ->
            new InvalidRequest(
                "Media item %d is a video, but the model takes none.".formatted(item.getIndex())));
    return processor.tiles(new VideoFile(files(item), ANY_RATE), buffers);
  }

  @Override
  public void recycle(FloatBuffer pixels) {
    buffers.give(pixels);
  }

  private static List<ByteBuffer> files(MediaItem item) {
    ByteString data = item.getData();
    List<ByteBuffer> files = new ArrayList<>();
    int at = 0;
    for (int bytes : item.getFrameBytesList()) {
      files.add(data.substring(at, at + bytes).asReadOnlyByteBuffer());
      at += bytes;
    }
    return files;
  }
}
