package io.epidote.engine.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageTypeSpecifier;
import javax.imageio.ImageWriter;
import javax.imageio.metadata.IIOMetadata;
import javax.imageio.metadata.IIOMetadataNode;
import javax.imageio.stream.ImageOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class VideoProcessorTest {
  private static final int TILE = 32;

  @TempDir Path folder;
  private ModelConfig config;
  private VideoProcessor processor;

  @BeforeEach
  void open() {
    CheckpointFixture.write(Form.SCENES, folder, 1);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      config = checkpoint.config();
    }
    processor = open(4);
  }

  private VideoProcessor open(int maxFrames) {
    ObjectNode preprocessor = CheckpointFixture.preprocessorConfig();
    preprocessor
        .putObject("video_sampling")
        .put("fps", 1)
        .put("max_frames", maxFrames)
        .putObject("video_size")
        .put("longest_edge", TILE);
    CheckpointFixture.writeJson(folder.resolve("preprocessor_config.json"), preprocessor);
    return VideoProcessor.open(folder, config, ImageLimits.defaults()).orElseThrow();
  }

  @Test
  void everyFrameBecomesOneTile() {
    VideoFile video = new VideoFile(List.of(png(Color.RED), png(Color.GREEN), png(Color.BLUE)), 2);
    assertThat(processor.plan(video))
        .isEqualTo(new VideoPlan(List.of(0, 1, 2), List.of(0.0, 0.5, 1.0), 1.5));
    assertColors(processor.tiles(video, new TileBuffers()), Color.RED, Color.GREEN, Color.BLUE);
  }

  @Test
  void framesAreTakenEvenly() {
    List<ByteBuffer> files =
        IntStream.range(0, 10).mapToObj(i -> png(new Color(20 * i, 0, 0))).toList();
    VideoFile video = new VideoFile(files, 1);
    VideoPlan plan = processor.plan(video);
    assertThat(plan.frames()).containsExactly(0, 3, 6, 9);
    assertThat(plan.seconds()).containsExactly(0.0, 3.0, 6.0, 9.0);
    assertThat(plan.duration()).isEqualTo(10);
    assertColors(
        processor.tiles(video, new TileBuffers()),
        new Color(0, 0, 0),
        new Color(60, 0, 0),
        new Color(120, 0, 0),
        new Color(180, 0, 0));
  }

  /** Frames cover parts of the screen, and what was there before stays, goes or comes back. */
  @Test
  void anAnimationIsDrawnAsItIsSeen() {
    byte[] gif =
        gif(
            new Frame(TILE, Color.RED, 100, "none"),
            new Frame(TILE / 2, Color.GREEN, 150, "restoreToPrevious"),
            new Frame(TILE / 4, Color.BLUE, 150, "restoreToBackgroundColor"),
            new Frame(1, Color.RED, 0, "none"));
    VideoFile video = new VideoFile(List.of(ByteBuffer.wrap(gif)), 1);
    assertThat(processor.plan(video))
        .isEqualTo(new VideoPlan(List.of(0, 1, 2, 3), List.of(0.0, 1.0, 2.5, 4.0), 4.1));
    List<FloatBuffer> tiles = processor.tiles(video, new TileBuffers());
    assertColor(tiles.get(0), 20, Color.RED);
    assertColor(tiles.get(1), 10, Color.GREEN);
    assertColor(tiles.get(1), 20, Color.RED);
    assertColor(tiles.get(2), 5, Color.BLUE);
    assertColor(tiles.get(2), 10, Color.RED);
    // Transparent now, which is laid over white.
    assertColor(tiles.get(3), 5, Color.WHITE);
    assertColor(tiles.get(3), 10, Color.RED);
  }

  @Test
  void aDamagedFrameIsNamed() {
    ByteBuffer good = png(Color.RED);
    ByteBuffer cut = png(Color.RED).slice(0, 60);
    VideoFile video = new VideoFile(List.of(good, cut), 1);
    assertThatThrownBy(() -> processor.tiles(video, new TileBuffers()))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageStartingWith("frame 2 of 2: ");
    ByteBuffer container =
        ByteBuffer.wrap("\0\0\0\u0020ftypisom".getBytes(StandardCharsets.ISO_8859_1));
    assertThatThrownBy(() -> processor.plan(new VideoFile(List.of(container), 1)))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("a video");
  }

  @Test
  void aTruncatedAnimationIsRefusedOrShorter() {
    byte[] gif =
        gif(new Frame(TILE, Color.RED, 200, "none"), new Frame(TILE, Color.GREEN, 200, "none"));
    for (int length = 1; length < gif.length; length++) {
      VideoFile video = new VideoFile(List.of(ByteBuffer.wrap(Arrays.copyOf(gif, length))), 1);
      try {
        assertThat(processor.tiles(video, new TileBuffers()))
            .hasSize(processor.plan(video).tiles());
      } catch (InvalidRequest e) {
        assertThat(e.getMessage()).isNotBlank();
      }
    }
  }

  @Test
  void onlyAModelWhoseConfigSamplesVideosTakesThem() {
    CheckpointFixture.writeJson(
        folder.resolve("preprocessor_config.json"), CheckpointFixture.preprocessorConfig());
    assertThat(VideoProcessor.open(folder, config, ImageLimits.defaults())).isEmpty();
    assertThatThrownBy(() -> open(1000))
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining("video_sampling.max_frames");
  }

  private static ByteBuffer png(Color color) {
    return ByteBuffer.wrap(Pictures.write(square(TILE, color), "png"));
  }

  private static BufferedImage square(int edge, Color color) {
    BufferedImage image = new BufferedImage(edge, edge, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = image.createGraphics();
    graphics.setColor(color);
    graphics.fillRect(0, 0, edge, edge);
    graphics.dispose();
    return image;
  }

  private static void assertColors(List<FloatBuffer> tiles, Color... colors) {
    assertThat(tiles).hasSize(colors.length);
    for (int i = 0; i < colors.length; i++) {
      assertColor(tiles.get(i), 0, colors[i]);
    }
  }

  private static void assertColor(FloatBuffer tile, int place, Color color) {
    float[] expected = color.getRGBColorComponents(null);
    for (int channel = 0; channel < 3; channel++) {
      assertThat(tile.get((channel * TILE + place) * TILE + place))
          .isEqualTo(2 * expected[channel] - 1, within(1e-5f));
    }
  }

  /** A square in the screen's corner. */
  private record Frame(int edge, Color color, int hundredths, String disposal) {}

  private static byte[] gif(Frame... frames) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    ImageWriter writer = ImageIO.getImageWritersByFormatName("gif").next();
    try (ImageOutputStream out = ImageIO.createImageOutputStream(bytes)) {
      writer.setOutput(out);
      writer.prepareWriteSequence(null);
      for (Frame frame : frames) {
        BufferedImage image = square(frame.edge(), frame.color());
        IIOMetadata metadata =
            writer.getDefaultImageMetadata(ImageTypeSpecifier.createFromRenderedImage(image), null);
        String format = metadata.getNativeMetadataFormatName();
        IIOMetadataNode root = (IIOMetadataNode) metadata.getAsTree(format);
        IIOMetadataNode control =
            (IIOMetadataNode) root.getElementsByTagName("GraphicControlExtension").item(0);
        control.setAttribute("delayTime", Integer.toString(frame.hundredths()));
        control.setAttribute("disposalMethod", frame.disposal());
        metadata.setFromTree(format, root);
        writer.writeToSequence(new IIOImage(image, null, metadata), null);
      }
      writer.endWriteSequence();
    } catch (IOException e) {
      throw new AssertionError(e);
    } finally {
      writer.dispose();
    }
    return bytes.toByteArray();
  }
}
