package io.epidote.engine.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.awt.image.IndexColorModel;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class ImageProcessorTest {
  private static final int TILE = 32;

  @TempDir Path folder;
  private ModelConfig config;

  @BeforeEach
  void writeModel() {
    CheckpointFixture.write(Form.SCENES, folder, 1);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      config = checkpoint.config();
    }
  }

  /** Rows and columns as Hugging Face's arithmetic gives them. */
  @ParameterizedTest
  @CsvSource({
    "64, 32, false, 32, 32, 1, 1",
    "64, 32, false, 1, 1, 1, 1",
    "64, 32, false, 33, 32, 2, 2",
    "64, 32, false, 64, 64, 2, 2",
    "64, 32, false, 64, 20, 1, 2",
    "64, 32, false, 20, 64, 2, 1",
    "64, 32, false, 500, 100, 1, 2",
    "64, 32, false, 100, 500, 2, 1",
    "64, 32, false, 640, 480, 2, 2",
    "64, 32, false, 50, 40, 2, 2",
    "64, 32, false, 10000, 1, 1, 2",
    "2048, 512, true, 640, 480, 3, 4",
    "2048, 512, true, 1, 1, 4, 4",
    "2048, 512, true, 1920, 1080, 3, 4",
    "2048, 512, true, 512, 512, 4, 4",
    "2048, 512, true, 300, 1000, 4, 2",
    "2048, 512, true, 4000, 3000, 3, 4",
    "2048, 512, true, 3000, 4001, 4, 3",
    "2048, 512, true, 999, 333, 2, 4",
  })
  void plansAsHuggingFaceDoes(
      int longestEdge, int tile, boolean upscale, int width, int height, int rows, int columns) {
    Preprocessing preprocessing =
        new GridPreprocessing(
            longestEdge,
            tile,
            true,
            upscale,
            new PixelRules(13, new float[3], new float[3], Transparency.OVER_WHITE));
    TilePlan plan = preprocessing.plan(width, height);
    assertThat(plan).isEqualTo(new TilePlan(rows, columns, tile));
    assertThat(plan.tiles()).isEqualTo(rows * columns == 1 ? 1 : rows * columns + 1);
  }

  @Test
  void everyPictureBecomesAsManyTilesAsPlanned() {
    ImageProcessor processor = open();
    for (int[] size : new int[][] {{1, 1}, {32, 32}, {33, 7}, {500, 3}, {3, 500}, {97, 64}}) {
      byte[] file =
          Pictures.write(new BufferedImage(size[0], size[1], BufferedImage.TYPE_INT_RGB), "png");
      ImageInfo info = processor.probe(file);
      assertThat(info).isEqualTo(new ImageInfo("PNG", size[0], size[1]));
      List<FloatBuffer> tiles = processor.tiles(file);
      assertThat(tiles).hasSize(processor.plan(info.width(), info.height()).tiles());
      for (FloatBuffer tile : tiles) {
        assertThat(tile.isDirect()).isTrue();
        assertThat(tile.remaining()).isEqualTo(3 * TILE * TILE);
        assertThat(tile.get(tile.limit() - 1)).isEqualTo(-1f);
      }
    }
  }

  @Test
  void aPictureOfATilesSizeIsOnlyNormalised() {
    BufferedImage image = Pictures.pattern(BufferedImage.TYPE_INT_RGB).getSubimage(3, 4, 32, 32);
    List<FloatBuffer> tiles = open().tiles(Pictures.write(image, "png"));
    assertThat(tiles).hasSize(1);
    assertTile(tiles.getFirst(), image, 0, 0, 1e-6f);
  }

  @Test
  void theGridIsCutRowByRowWithTheOverviewLast() {
    BufferedImage image = new BufferedImage(64, 64, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = image.createGraphics();
    Color[] colors = {Color.RED, Color.GREEN, Color.BLUE, Color.WHITE};
    for (int i = 0; i < 4; i++) {
      graphics.setColor(colors[i]);
      graphics.fillRect(i % 2 * 32, i / 2 * 32, 32, 32);
    }
    graphics.dispose();
    List<FloatBuffer> tiles = open().tiles(Pictures.write(image, "png"));
    assertThat(tiles).hasSize(5);
    for (int i = 0; i < 4; i++) {
      assertTile(tiles.get(i), image, i % 2 * 32, i / 2 * 32, 1e-6f);
    }
    FloatBuffer overview = tiles.getLast();
    for (int i = 0; i < 4; i++) {
      int at = (i / 2 * 16 + 8) * TILE + i % 2 * 16 + 8;
      assertThat(overview.get(at)).isEqualTo(colors[i].getRed() / 127.5f - 1, within(0.02f));
      assertThat(overview.get(TILE * TILE + at))
          .isEqualTo(colors[i].getGreen() / 127.5f - 1, within(0.02f));
      assertThat(overview.get(2 * TILE * TILE + at))
          .isEqualTo(colors[i].getBlue() / 127.5f - 1, within(0.02f));
    }
  }

  @ParameterizedTest
  @EnumSource(ImageFormat.class)
  void readsEveryFormat(ImageFormat format) {
    ImageProcessor processor = open();
    byte[] file = Pictures.file(format);
    assertThat(processor.probe(file))
        .isEqualTo(new ImageInfo(format.label(), Pictures.WIDTH, Pictures.HEIGHT));
    List<FloatBuffer> expected = processor.tiles(Pictures.file(ImageFormat.PNG));
    double allowed =
        switch (format) {
          case PNG, BMP, WEBP -> 0;
          // A palette of 216 colours; quantised frequencies.
          case GIF -> 0.2;
          case JPEG -> 0.08;
        };
    assertThat(meanDifference(processor.tiles(file), expected)).isLessThanOrEqualTo(allowed);
    ByteBuffer direct =
        ByteBuffer.allocateDirect(file.length + 7).position(7).put(file).position(7);
    assertThat(processor.probe(direct).format()).isEqualTo(format.label());
    assertThat(processor.tiles(direct)).isEqualTo(processor.tiles(file));
    assertThat(direct.position()).isEqualTo(7);
  }

  @Test
  void readsLossyWebp() {
    ImageProcessor processor = open();
    List<FloatBuffer> tiles = processor.tiles(Pictures.resource("lossy.webp"));
    List<FloatBuffer> exact = processor.tiles(Pictures.file(ImageFormat.PNG));
    assertThat(meanDifference(tiles, exact)).isLessThan(0.08);
  }

  @Test
  void layersTransparencyOverWhite() {
    ImageProcessor processor = open();
    BufferedImage transparent = Pictures.pattern(BufferedImage.TYPE_INT_ARGB);
    BufferedImage flat = new BufferedImage(48, 40, BufferedImage.TYPE_INT_RGB);
    for (int y = 0; y < 40; y++) {
      for (int x = 0; x < 48; x++) {
        Color color = new Color(transparent.getRGB(x, y), true);
        double alpha = color.getAlpha() / 255.0;
        flat.setRGB(
            x,
            y,
            new Color(
                    over(color.getRed(), alpha),
                    over(color.getGreen(), alpha),
                    over(color.getBlue(), alpha))
                .getRGB());
      }
    }
    List<FloatBuffer> expected = processor.tiles(Pictures.write(flat, "png"));
    assertThat(processor.tiles(Pictures.write(transparent, "png"))).isEqualTo(expected);
    assertThat(processor.tiles(Pictures.resource("alpha.webp"))).isEqualTo(expected);
  }

  private static int over(int value, double alpha) {
    return (int) Math.round(value * alpha + 255 * (1 - alpha));
  }

  @Test
  void keepsTheValuesOfGreys() {
    for (int type : new int[] {BufferedImage.TYPE_BYTE_GRAY, BufferedImage.TYPE_USHORT_GRAY}) {
      BufferedImage gray = new BufferedImage(32, 32, type);
      BufferedImage rgb = new BufferedImage(32, 32, BufferedImage.TYPE_INT_RGB);
      for (int y = 0; y < 32; y++) {
        for (int x = 0; x < 32; x++) {
          int value = 8 * x + y / 4;
          gray.getRaster()
              .setSample(x, y, 0, type == BufferedImage.TYPE_BYTE_GRAY ? value : value << 8 | 3);
          rgb.setRGB(x, y, value * 0x010101);
        }
      }
      FloatBuffer tile = open().tiles(Pictures.write(gray, "png")).getFirst();
      assertTile(tile, rgb, 0, 0, 1e-6f);
    }
  }

  @Test
  void laysAGifsFirstFrameOnItsScreen() {
    byte[] palette = {0, (byte) 200};
    IndexColorModel model = new IndexColorModel(1, 2, palette, palette, palette);
    BufferedImage frame = new BufferedImage(8, 8, BufferedImage.TYPE_BYTE_BINARY, model);
    frame.getRaster().setSample(0, 0, 0, 1);
    byte[] gif = Pictures.write(frame, "gif");
    // Make the screen 32 x 32 and put the frame at (16, 4).
    ByteBuffer bytes = ByteBuffer.wrap(gif);
    bytes.put(6, (byte) 32).put(8, (byte) 32);
    int descriptor = 13;
    while (gif[descriptor] != 0x2C) {
      descriptor++;
    }
    bytes.put(descriptor + 1, (byte) 16).put(descriptor + 3, (byte) 4);
    ImageProcessor processor = open();
    assertThat(processor.probe(gif)).isEqualTo(new ImageInfo("GIF", 32, 32));
    BufferedImage expected = new BufferedImage(32, 32, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = expected.createGraphics();
    graphics.setColor(Color.WHITE);
    graphics.fillRect(0, 0, 32, 32);
    graphics.setColor(Color.BLACK);
    graphics.fillRect(16, 4, 8, 8);
    graphics.dispose();
    expected.setRGB(16, 4, 200 * 0x010101);
    assertTile(processor.tiles(gif).getFirst(), expected, 0, 0, 1e-6f);
  }

  @Test
  void scalesDownWithoutAliasing() {
    BufferedImage stripes = new BufferedImage(256, 256, BufferedImage.TYPE_INT_RGB);
    for (int y = 0; y < 256; y++) {
      for (int x = 0; x < 256; x += 2) {
        stripes.setRGB(x, y, 0xFFFFFF);
      }
    }
    FloatBuffer overview = open().tiles(Pictures.write(stripes, "png")).getLast();
    for (int i = 4 * TILE + 4; i < 5 * TILE - 4; i++) {
      assertThat(overview.get(i)).isEqualTo(0, within(0.05f));
    }
  }

  @Test
  void withoutSplittingEveryPictureIsOneTile() {
    writeConfig(CheckpointFixture.preprocessorConfig().put("do_image_splitting", false));
    ImageProcessor processor = open();
    assertThat(processor.plan(640, 480)).isEqualTo(new TilePlan(1, 1, TILE));
    assertThat(processor.tiles(Pictures.file(ImageFormat.PNG))).hasSize(1);
  }

  @Test
  void normalisesAsConfigured() throws JsonProcessingException {
    ObjectNode json = CheckpointFixture.preprocessorConfig();
    json.set("image_mean", new ObjectMapper().readTree("[0.25, 0.5, 0]"));
    json.set("image_std", new ObjectMapper().readTree("[0.5, 0.25, 1]"));
    writeConfig(json);
    BufferedImage image = new BufferedImage(32, 32, BufferedImage.TYPE_INT_RGB);
    image.setRGB(0, 0, 0xFF00FF);
    FloatBuffer tile = open().tiles(Pictures.write(image, "png")).getFirst();
    assertThat(tile.get(0)).isEqualTo(1.5f, within(1e-6f));
    assertThat(tile.get(TILE * TILE)).isEqualTo(-2f, within(1e-6f));
    assertThat(tile.get(2 * TILE * TILE)).isEqualTo(1f, within(1e-6f));

    writeConfig(json.put("do_normalize", false));
    tile = open().tiles(Pictures.write(image, "png")).getFirst();
    assertThat(tile.get(0)).isEqualTo(1f, within(1e-6f));
    assertThat(tile.get(TILE * TILE)).isZero();
  }

  @ParameterizedTest
  @CsvSource({"0", "1", "2", "3"})
  void knowsPillowsFilters(int resample) {
    writeConfig(CheckpointFixture.preprocessorConfig().put("resample", resample));
    BufferedImage half = new BufferedImage(128, 128, BufferedImage.TYPE_INT_RGB);
    for (int y = 0; y < 128; y++) {
      for (int x = 64; x < 128; x++) {
        half.setRGB(x, y, 0xFFFFFF);
      }
    }
    List<FloatBuffer> tiles = open().tiles(Pictures.write(half, "png"));
    FloatBuffer overview = tiles.getLast();
    assertThat(overview.get(5 * TILE + 2)).isEqualTo(-1f, within(0.02f));
    assertThat(overview.get(5 * TILE + 29)).isEqualTo(1f, within(0.02f));
  }

  @ParameterizedTest
  @EnumSource(ImageFormat.class)
  void threadsShareIt(ImageFormat format) throws ExecutionException, InterruptedException {
    ImageProcessor processor = open();
    byte[] file = Pictures.file(format);
    List<FloatBuffer> expected = processor.tiles(file);
    try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
      List<Future<List<FloatBuffer>>> results = new ArrayList<>();
      for (int i = 0; i < 40; i++) {
        results.add(threads.submit(() -> processor.tiles(file)));
      }
      for (Future<List<FloatBuffer>> result : results) {
        assertThat(result.get()).isEqualTo(expected);
      }
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "image_processor_type | \"CLIPImageProcessor\" | image_processor_type = \"CLIPImageProcessor\""
            + " is not supported; supported: Idefics3ImageProcessor,",
        "do_resize | false | do_resize = false is not supported; supported: true",
        "do_convert_rgb | false | do_convert_rgb = false is not supported",
        "resample | 5 | resample = 5 is not supported; supported: 0 (nearest), 1 (Lanczos)",
        "size | {\"height\":5} | size = {\"height\":5} is not supported; supported: {\"longest_edge\"",
        "size | 5 | size is 5, expected an object",
        "size | {\"longest_edge\":-5} | size.longest_edge is -5, expected a whole number above 0",
        "size | {\"longest_edge\":5000} | expected a longest_edge of at most 4096",
        "max_image_size | {\"longest_edge\":64} | tiles of 64 pixels (max_image_size.longest_edge), expected"
            + " vision_config.image_size = 32",
        "image_mean | [0.5] | image_mean is [0.5], expected a list of three numbers",
        "image_std | [0.5,0,0.5] | image_std is [0.5,0,0.5], expected numbers above 0",
      })
  void tellsWhichKeyIsWrong(String key, String value, String message)
      throws JsonProcessingException {
    ObjectNode json = CheckpointFixture.preprocessorConfig();
    json.set(key, new ObjectMapper().readTree(value));
    writeConfig(json);
    assertThatThrownBy(this::open)
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining("preprocessor_config.json")
        .hasMessageContaining(message);
  }

  @Test
  void tellsAModelWithoutVision() {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 1);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      config = checkpoint.config();
    }
    assertThatThrownBy(this::open)
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining("has no vision tower (model_type llama), so it takes no pictures");
  }

  private ImageProcessor open() {
    return ImageProcessor.open(folder, config, ImageLimits.defaults());
  }

  private void writeConfig(ObjectNode json) {
    CheckpointFixture.writeJson(folder.resolve("preprocessor_config.json"), json);
  }

  private static double meanDifference(List<FloatBuffer> tiles, List<FloatBuffer> expected) {
    assertThat(tiles).hasSameSizeAs(expected);
    double sum = 0;
    int count = 0;
    for (int t = 0; t < tiles.size(); t++) {
      for (int i = 0; i < tiles.get(t).limit(); i++, count++) {
        sum += Math.abs(tiles.get(t).get(i) - expected.get(t).get(i));
      }
    }
    return sum / count;
  }

  private static void assertTile(
      FloatBuffer tile, BufferedImage image, int left, int top, float tolerance) {
    for (int y = 0; y < TILE; y++) {
      for (int x = 0; x < TILE; x++) {
        int rgb = image.getRGB(left + x, top + y);
        for (int channel = 0; channel < 3; channel++) {
          float expected = (rgb >> (16 - 8 * channel) & 0xFF) / 127.5f - 1;
          assertThat(tile.get(channel * TILE * TILE + y * TILE + x))
              .isEqualTo(expected, within(tolerance));
        }
      }
    }
  }
}
