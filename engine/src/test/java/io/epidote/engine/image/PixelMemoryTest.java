package io.epidote.engine.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What decoding takes of memory, however many pictures are decoded. */
@Timeout(60)
class PixelMemoryTest {
  private static final int WIDTH = 4032;
  private static final int HEIGHT = 3024;

  @TempDir Path folder;

  private ImageProcessor open() {
    CheckpointFixture.write(Form.SCENES, folder, 1);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      return ImageProcessor.open(folder, checkpoint.config(), ImageLimits.defaults());
    }
  }

  private static byte[] photograph(int seed, int width, int height) {
    SplittableRandom random = new SplittableRandom(seed);
    BufferedImage picture = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = picture.createGraphics();
    for (int i = 0; i < 24; i++) {
      graphics.setColor(new Color(random.nextInt(1 << 24)));
      graphics.fillOval(
          random.nextInt(width), random.nextInt(height), width / 3 + 1, height / 3 + 1);
    }
    graphics.dispose();
    return Pictures.write(picture, "jpeg");
  }

  @Test
  void aPictureIsDecodedWhereTheOneBeforeWas() {
    ImageProcessor processor = open();
    TileBuffers buffers = new TileBuffers(128 << 20);
    ByteBuffer file = ByteBuffer.wrap(photograph(1, WIDTH, HEIGHT));
    processor.tiles(file, buffers).forEach(buffers::give);
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long before = threads.getCurrentThreadAllocatedBytes();
    processor.tiles(file, buffers).forEach(buffers::give);
    // The decoder makes its lines anew, which are a picture's bytes, three a pixel; the picture
    // itself would be as many again.
    assertThat(threads.getCurrentThreadAllocatedBytes() - before)
        .isLessThan(WIDTH * HEIGHT * 3 * 5 / 4);
  }

  @Test
  void whatStoodThereBeforeIsNotSeen() {
    ImageProcessor processor = open();
    TileBuffers used = new TileBuffers();
    for (int seed = 0; seed < 6; seed++) {
      ByteBuffer file = ByteBuffer.wrap(photograph(seed, 300 - 40 * seed, 100 + 30 * seed));
      List<FloatBuffer> tiles = processor.tiles(file, used);
      assertThat(tiles).isEqualTo(processor.tiles(file));
      tiles.forEach(used::give);
    }
  }

  private static PixelMemory.Room await(PixelMemory memory, ImageInfo picture) {
    PixelMemory.Room room = memory.open();
    room.await(picture);
    return room;
  }

  @Test
  void picturesWaitForRoom() throws Exception {
    // Room for two, of 8 bytes a pixel.
    PixelMemory memory = new PixelMemory(2 * 8 * 100 * 128);
    ImageInfo picture = new ImageInfo("PNG", 100, 128);
    CompletableFuture<Void> third;
    try (PixelMemory.Room first = await(memory, picture);
        PixelMemory.Room _ = await(memory, picture)) {
      third =
          CompletableFuture.runAsync(
              () -> await(memory, picture).close(), task -> Thread.ofVirtual().start(task));
      assertThatThrownBy(() -> third.get(100, TimeUnit.MILLISECONDS))
          .isInstanceOf(TimeoutException.class);
      first.close();
      third.get(30, TimeUnit.SECONDS);
    }
    // One that is larger than everything has it alone.
    try (PixelMemory.Room _ = await(memory, new ImageInfo("PNG", 4000, 4000))) {
      CompletableFuture<Void> other =
          CompletableFuture.runAsync(
              () -> await(memory, picture).close(), task -> Thread.ofVirtual().start(task));
      assertThatThrownBy(() -> other.get(100, TimeUnit.MILLISECONDS))
          .isInstanceOf(TimeoutException.class);
    }
  }
}
