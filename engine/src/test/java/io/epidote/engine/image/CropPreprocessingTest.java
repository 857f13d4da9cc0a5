package io.epidote.engine.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.engine.checkpoint.Activation;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.Connector;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** CLIP's and SigLIP's preprocessing. */
class CropPreprocessingTest {
  private static final Connector MLP = new Connector.Mlp(Activation.GELU, true, true);

  /** As llava-hf/llava-1.5-7b-hf has it. */
  private static final String LLAVA_15 =
      """
      {"crop_size": {"height": 336, "width": 336}, "do_center_crop": true, "do_convert_rgb": true,
       "do_normalize": true, "do_rescale": true, "do_resize": true,
       "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_processor_type": "CLIPImageProcessor",
       "image_std": [0.26862954, 0.26130258, 0.27577711], "processor_class": "LlavaProcessor",
       "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 336}}\
      """;

  /** As llava-hf/llava-interleave-qwen-0.5b-hf has it. */
  private static final String LLAVA_INTERLEAVE =
      """
      {"do_convert_rgb": null, "do_normalize": true, "do_rescale": true, "do_resize": true,
       "image_mean": [0.5, 0.5, 0.5], "image_processor_type": "SiglipImageProcessor",
       "image_std": [0.5, 0.5, 0.5], "processor_class": "LlavaProcessor", "resample": 3,
       "rescale_factor": 0.00392156862745098, "size": {"height": 384, "width": 384}}\
      """;

  @TempDir Path folder;

  @Test
  void aPublishedClipConfigCropsTheMiddle() throws JsonProcessingException {
    Preprocessing clip = read(LLAVA_15);
    assertThat(clip.plan(1000, 336)).isEqualTo(new TilePlan(1, 1, 336));
    BufferedImage image = new BufferedImage(1000, 336, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = image.createGraphics();
    // (1000 - 336) / 2 = 332 on the left.
    graphics.setColor(Color.WHITE);
    graphics.fillRect(332, 0, 336, 336);
    graphics.setColor(Color.RED);
    graphics.fillRect(332, 0, 1, 1);
    graphics.dispose();
    FloatBuffer tile = clip.tiles(image, new TileBuffers()).getFirst();
    assertThat(tile.remaining()).isEqualTo(3 * 336 * 336);
    for (int channel = 0; channel < 3; channel++) {
      double mean = List.of(0.48145466, 0.4578275, 0.40821073).get(channel);
      double std = List.of(0.26862954, 0.26130258, 0.27577711).get(channel);
      float white = (float) ((1 - mean) / std);
      for (int at = 1; at < 336 * 336; at++) {
        assertThat(tile.get(channel * 336 * 336 + at)).isEqualTo(white, within(1e-5f));
      }
      float first = channel == 0 ? white : (float) (-mean / std);
      assertThat(tile.get(channel * 336 * 336)).isEqualTo(first, within(1e-5f));
    }
  }

  /** Pillow's arithmetic: the shorter edge exactly, the longer one cut down to a whole pixel. */
  @ParameterizedTest
  @CsvSource({"640, 480", "480, 640", "333, 500", "1, 1", "20, 1000"})
  void everyPictureBecomesOneTile(int width, int height) throws JsonProcessingException {
    for (String config : List.of(LLAVA_15, LLAVA_INTERLEAVE)) {
      Preprocessing preprocessing = read(config);
      BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
      int edge = preprocessing.tileSize();
      assertThat(preprocessing.plan(width, height).tiles()).isEqualTo(1);
      assertThat(preprocessing.tiles(image, new TileBuffers()))
          .singleElement()
          .satisfies(tile -> assertThat(tile.remaining()).isEqualTo(3 * edge * edge));
    }
  }

  @Test
  void aPublishedSiglipConfigSqueezes() throws JsonProcessingException {
    BufferedImage image = new BufferedImage(768, 384, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = image.createGraphics();
    graphics.setColor(Color.WHITE);
    graphics.fillRect(0, 0, 384, 384);
    graphics.dispose();
    FloatBuffer tile = read(LLAVA_INTERLEAVE).tiles(image, new TileBuffers()).getFirst();
    assertThat(tile.get(100 * 384 + 100)).isEqualTo(1f, within(1e-2f));
    assertThat(tile.get(100 * 384 + 180)).isEqualTo(1f, within(1e-2f));
    assertThat(tile.get(100 * 384 + 204)).isEqualTo(-1f, within(1e-2f));
  }

  @Test
  void whatIsTransparentKeepsItsColour() throws JsonProcessingException {
    assertThat(read(LLAVA_15).pixels().transparency()).isEqualTo(Transparency.DROPPED);
    BufferedImage image = new BufferedImage(1, 1, BufferedImage.TYPE_INT_ARGB);
    image.setRGB(0, 0, 0x00102030);
    assertThat(RgbConverter.convert(image, Transparency.DROPPED).getRGB(0, 0))
        .isEqualTo(0xFF102030);
    assertThat(RgbConverter.convert(image, Transparency.OVER_WHITE).getRGB(0, 0))
        .isEqualTo(0xFFFFFFFF);
  }

  /** Older configs have numbers for sizes and another name for the processor's key. */
  @Test
  void readsOlderConfigs() throws JsonProcessingException {
    Preprocessing clip =
        read(
            """
            {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 192,
             "do_center_crop": true}\
            """);
    assertThat(clip.tileSize()).isEqualTo(192);
    assertThat(clip.pixels().offset()[0]).isEqualTo((float) (-0.48145466 / 0.26862954));
    assertThat(read("{}").tileSize()).isEqualTo(224);
  }

  @Test
  void aLineIsRefused() throws JsonProcessingException {
    Preprocessing clip = read(LLAVA_15);
    assertThatThrownBy(() -> clip.plan(10_000, 3))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("10000 x 3")
        .hasMessageContaining("at most 64 times");
    assertThat(clip.plan(640, 10).tiles()).isEqualTo(1);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "image_processor_type: {\"image_processor_type\": \"Idefics3ImageProcessor\"}",
        "crop_size is 224, expected at most the 100: {\"size\": {\"shortest_edge\": 100}}",
        "crop_size: {\"crop_size\": {\"height\": 3, \"width\": 4}}",
        "do_center_crop: {\"do_center_crop\": false}",
        "size: {\"image_processor_type\": \"SiglipImageProcessor\", \"size\": {\"shortest_edge\": 3}}",
        "do_resize: {\"do_resize\": false}"
      })
  void tellsWhichKeyIsWrong(String pair) {
    String key = pair.substring(0, pair.indexOf(": {"));
    assertThatThrownBy(() -> read(pair.substring(key.length() + 2)))
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining(key);
  }

  private Preprocessing read(String json) throws JsonProcessingException {
    CheckpointFixture.writeJson(
        folder.resolve("preprocessor_config.json"), new ObjectMapper().readTree(json));
    return Preprocessing.read(folder, MLP);
  }
}
