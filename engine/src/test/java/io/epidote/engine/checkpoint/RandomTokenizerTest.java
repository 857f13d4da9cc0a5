package io.epidote.engine.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.image.ImageLimits;
import io.epidote.engine.image.ImageProcessor;
import io.epidote.engine.text.ChatTemplate;
import io.epidote.engine.text.ChatTurn;
import io.epidote.engine.text.Part;
import io.epidote.engine.text.PromptBuilder;
import io.epidote.engine.text.Tokenizer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RandomTokenizerTest {
  @Test
  void wordsOfAChatAreItsTokens(@TempDir Path folder) throws Exception {
    Files.writeString(folder.resolve("config.json"), ModelShape.SMOLLM2_135M.config());
    RandomTokenizer.writeIfMissing(folder, RandomTokenizer.PREPROCESSING);
    String prompt =
        ChatTemplate.open(folder)
            .render(
                List.of(
                    new ChatTurn("user", List.of(new Part.Text("w12 w99"))),
                    new ChatTurn("user", List.of(new Part.Text("w49151")))),
                true);
    try (Tokenizer tokenizer = Tokenizer.open(folder)) {
      assertThat(tokenizer.encode(prompt)).containsExactly(12, 99, 49151);
      assertThat(tokenizer.decode(12, 0, 99)).isEqualTo("w12 w0 w99");
    }
  }

  @Test
  void pictureModelsGetMarkersAndPreprocessing(@TempDir Path folder) throws Exception {
    Files.writeString(folder.resolve("config.json"), ModelShape.SMOLVLM_256M.config());
    RandomTokenizer.writeIfMissing(folder, RandomTokenizer.PREPROCESSING);
    ModelConfig config = ConfigReader.read(folder);
    ImageProcessor images = ImageProcessor.open(folder, config, ImageLimits.defaults());
    assertThat(images.plan(512, 512).tiles()).isEqualTo(1);
    assertThat(images.plan(2048, 2048).tiles()).isEqualTo(17);
    try (Tokenizer tokenizer = Tokenizer.open(folder)) {
      PromptBuilder prompts = PromptBuilder.open(folder, config, tokenizer);
      assertThat(
              prompts
                  .build(
                      "<image><image> w12", List.of(images.plan(512, 512), images.plan(2048, 2048)))
                  .mediaTokens())
          .isEqualTo(18 * 64);
    }
  }
}
