package io.epidote.engine.image;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.ConfigFile;
import io.epidote.engine.checkpoint.Connector;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** SmolVLM's preprocessing as its folders on Hugging Face have it. */
class PublishedPreprocessingTest {
  private static final String CONFIG =
      """
      {"do_convert_rgb": true, "do_image_splitting": true, "do_normalize": true, "do_pad": true,
       "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5],
       "image_processor_type": "%1$s", "image_std": [0.5, 0.5, 0.5],
       "max_image_size": {"longest_edge": %2$d}, "processor_class": "SmolVLMProcessor",
       "resample": 1, "rescale_factor": 0.00392156862745098, "size": {"longest_edge": %3$d},
       "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": %2$d}}}\
      """;

  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource({
    // SmolVLM2-256M-Video-Instruct and SmolVLM2-500M-Video-Instruct
    "SmolVLMImageProcessor, 512, 2048",
    // SmolVLM2-2.2B-Instruct
    "SmolVLMImageProcessor, 384, 1536",
    // SmolVLM-Instruct
    "Idefics3ImageProcessor, 384, 1536",
  })
  void readsTheWholeFamily(String processor, int tile, int longestEdge)
      throws JsonProcessingException {
    Path file = folder.resolve("preprocessor_config.json");
    CheckpointFixture.writeJson(
        file, new ObjectMapper().readTree(CONFIG.formatted(processor, tile, longestEdge)));
    Preprocessing preprocessing = Preprocessing.read(folder, new Connector.PixelShuffle(3));
    assertThat(preprocessing.tileSize()).isEqualTo(tile);
    assertThat(preprocessing.plan(640, 480)).isEqualTo(new TilePlan(3, 4, tile));
    assertThat(preprocessing.plan(640, 480).tiles()).isEqualTo(13);
    assertThat(preprocessing.plan(100, 1000).tiles()).isEqualTo(5);
    FrameSampling sampling = FrameSampling.read(ConfigFile.read(file)).orElseThrow();
    assertThat(sampling).isEqualTo(new FrameSampling(1, 64, tile));
    assertThat(((GridPreprocessing) preprocessing).unsplit(tile).plan(1920, 1080).tiles())
        .isEqualTo(1);
  }
}
