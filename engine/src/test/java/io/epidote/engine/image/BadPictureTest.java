package io.epidote.engine.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.TooLarge;
import java.awt.image.BufferedImage;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Whatever comes as a picture gives tiles or an error that says what is wrong with it. */
class BadPictureTest {
  @TempDir Path folder;
  private ImageProcessor processor;

  @BeforeEach
  void open() {
    processor = open(ImageLimits.defaults());
  }

  private ImageProcessor open(ImageLimits limits) {
    CheckpointFixture.write(Form.SCENES, folder, 1);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      return ImageProcessor.open(folder, checkpoint.config(), limits);
    }
  }

  @Test
  void tellsAnEmptyFile() {
    assertInvalid(
        new byte[0], "the picture is empty (0 bytes); expected one of PNG, JPEG, GIF, BMP, WebP");
  }

  @Test
  void tellsWhatTakesTooLong() {
    ImageProcessor hasty = open(new ImageLimits(1 << 20, 1_000_000, 4096, Duration.ofNanos(1)));
    for (ImageFormat format : List.of(ImageFormat.PNG, ImageFormat.JPEG, ImageFormat.GIF)) {
      assertThatThrownBy(() -> hasty.tiles(Pictures.file(format)))
          .as(format.label())
          .isInstanceOf(TooLarge.class)
          .hasMessageContaining("to decode");
    }
  }

  /** Found by fuzzing: it took seconds, and gigabytes of exceptions. */
  @Test
  void tellsAWebPThatAnnouncesMoreCodesThanItHas() {
    byte[] file =
        HexFormat.of()
            .parseHex(
                "5249464648000000574542505650384c3c0000002f2fc0090009802006fc3f3b"
                    + "88e87fca054012fecf1d44f43fa58168da266aff9f3d3b88e87fca05db10fecf"
                    + "1d44f43fa58168da266aff9f3de66714a46dc0c2764720904439f3583101d8b5"
                    + "3dd70e60fd1f01");
    long begun = System.nanoTime();
    assertThatThrownBy(() -> processor.tiles(file)).isInstanceOf(InvalidRequest.class);
    assertThat(Duration.ofNanos(System.nanoTime() - begun)).isLessThan(Duration.ofSeconds(2));
  }

  @ParameterizedTest
  @CsvSource({
    "%PDF-1.7, a PDF",
    "<!DOCTYPE html>, HTML",
    "<svg xmlns=, SVG or XML",
    "{\"error\": 404}, JSON",
    "hello there, text",
    "data:image/png;base64, a data: URI",
    "0000ftypavif, 'HEIC, AVIF or a video'",
    "\u00ff\u00fe\u0001x, no picture that is known",
  })
  void tellsWhatIsNoPicture(String text, String guess) {
    assertInvalid(
        text.getBytes(StandardCharsets.ISO_8859_1),
        "the media is not a picture of a supported format: it begins with the bytes ");
    assertInvalid(text.getBytes(StandardCharsets.ISO_8859_1), "which look like " + guess);
    assertInvalid(
        text.getBytes(StandardCharsets.ISO_8859_1), "supported: PNG, JPEG, GIF, BMP, WebP");
  }

  @ParameterizedTest
  @EnumSource(ImageFormat.class)
  void tellsATruncatedHeader(ImageFormat format) {
    byte[] cut = Arrays.copyOf(Pictures.file(format), 14);
    assertThatThrownBy(() -> processor.probe(cut))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("the " + format.label() + " picture's header cannot be read")
        .hasMessageContaining("truncated or damaged: send the whole file");
  }

  /** A reader that fills up what is missing would make the model describe what was never sent. */
  @ParameterizedTest
  @EnumSource(ImageFormat.class)
  void aTruncatedFileIsNeverReadAsAnotherPicture(ImageFormat format) {
    byte[] file = Pictures.file(format);
    assertTruncationsAreTold(file);
  }

  @Test
  void aTruncatedLossyWebpIsNeverReadAsAnotherPicture() {
    assertTruncationsAreTold(Pictures.resource("lossy.webp"));
  }

  private void assertTruncationsAreTold(byte[] file) {
    List<FloatBuffer> whole = processor.tiles(file);
    int step = Math.max(1, file.length / 200);
    int refused = 0;
    for (int length = file.length - 1; length > 0; length -= step) {
      byte[] cut = Arrays.copyOf(file, length);
      try {
        // What is cut off may be padding or an end mark.
        assertThat(processor.tiles(cut)).as("%d of %d bytes", length, file.length).isEqualTo(whole);
      } catch (InvalidRequest e) {
        refused++;
      }
    }
    assertThat(refused).isGreaterThan((int) (0.9 * (file.length / step)));
  }

  @ParameterizedTest
  @EnumSource(ImageFormat.class)
  void aTruncatedFileIsToldAsSuch(ImageFormat format) {
    byte[] file = Pictures.file(format);
    byte[] half = Arrays.copyOf(file, file.length / 2);
    assertThatThrownBy(() -> processor.tiles(half))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("the " + format.label() + " picture")
        .hasMessageContaining("truncated")
        .hasMessageContaining("send the whole file");
  }

  @ParameterizedTest
  @EnumSource(ImageFormat.class)
  void damageGivesTilesOrAnErrorAndNothingElse(ImageFormat format) {
    Random random = new Random(17);
    byte[] file = Pictures.file(format);
    for (int round = 0; round < 150; round++) {
      byte[] damaged = file.clone();
      for (int i = 1 + random.nextInt(6); i > 0; i--) {
        // Headers are where damage is interesting.
        int at =
            random.nextBoolean()
                ? random.nextInt(Math.min(64, file.length))
                : random.nextInt(file.length);
        damaged[at] = (byte) random.nextInt(256);
      }
      try {
        ImageInfo info = processor.probe(damaged);
        List<FloatBuffer> tiles = processor.tiles(damaged);
        assertThat(tiles).hasSize(processor.plan(info.width(), info.height()).tiles());
      } catch (InvalidRequest | TooLarge e) {
        assertThat(e.getMessage()).isNotBlank();
      }
    }
  }

  @Test
  void tellsADecompressionBombByItsHeader() {
    byte[] bomb = Pictures.pngClaiming(16_000, 16_000);
    assertTooLarge(
        processor,
        bomb,
        "the picture has 16000 x 16000 = 256,000,000 pixels, at most 64,000,000 and edges of 16,384"
            + " are allowed; scale it down");
    assertTooLarge(processor, Pictures.pngClaiming(Integer.MAX_VALUE, Integer.MAX_VALUE), "pixels");
    assertTooLarge(processor, Pictures.pngClaiming(20_000, 1), "edges of 16,384");
    byte[] gif = Pictures.file(ImageFormat.GIF);
    Arrays.fill(gif, 6, 10, (byte) 0xFF);
    assertTooLarge(processor, gif, "the picture has 65535 x 65535");
    byte[] bmp = Pictures.file(ImageFormat.BMP);
    bmp[20] = 1;
    bmp[24] = 1;
    assertTooLarge(processor, bmp, "the picture has 65584 x 65576");
  }

  @ParameterizedTest
  @ValueSource(ints = {0, -1, Integer.MIN_VALUE})
  void tellsASizeThatIsNone(int width) {
    assertInvalid(Pictures.pngClaiming(width, 10), "the PNG picture's header cannot be read");
  }

  @Test
  void tellsAFileOfTooManyBytes() {
    byte[] file = Pictures.file(ImageFormat.PNG);
    ImageProcessor strict = open(new ImageLimits(file.length - 1, 1_000_000, 1000));
    assertTooLarge(
        strict,
        file,
        "the picture has %,d bytes, at most %,d are allowed"
            .formatted(file.length, file.length - 1));
    assertThat(open(new ImageLimits(file.length, 1920, 48)).tiles(file)).isNotEmpty();
    assertTooLarge(open(new ImageLimits(file.length, 1919, 48)), file, "48 x 40 = 1,920 pixels");
    assertTooLarge(open(new ImageLimits(file.length, 1920, 47)), file, "edges of 47");
  }

  @Test
  void takesAsBigAPictureAsIsAllowed() {
    BufferedImage big = new BufferedImage(3000, 2000, BufferedImage.TYPE_BYTE_GRAY);
    byte[] file = Pictures.write(big, "png");
    assertThat(open(new ImageLimits(1 << 20, 6_000_000, 3000)).tiles(file)).hasSize(5);
  }

  private void assertInvalid(byte[] file, String message) {
    assertThatThrownBy(() -> processor.probe(file))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining(message);
    assertThatThrownBy(() -> processor.tiles(file))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining(message.replace("picture's header", "picture"));
  }

  private static void assertTooLarge(ImageProcessor processor, byte[] file, String message) {
    assertThatThrownBy(() -> processor.probe(file))
        .isInstanceOf(TooLarge.class)
        .hasMessageContaining(message);
    assertThatThrownBy(() -> processor.tiles(file))
        .isInstanceOf(TooLarge.class)
        .hasMessageContaining(message);
  }
}
