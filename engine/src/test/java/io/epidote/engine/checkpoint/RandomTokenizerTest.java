package io.epidote.engine.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.text.ChatTemplate;
import io.epidote.engine.text.ChatTurn;
import io.epidote.engine.text.Part;
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
    RandomTokenizer.writeIfMissing(folder);
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
  void pictureModelsGetNone(@TempDir Path folder) throws Exception {
    Files.writeString(folder.resolve("config.json"), ModelShape.SMOLVLM_256M.config());
    RandomTokenizer.writeIfMissing(folder);
    assertThat(folder.resolve("tokenizer.json")).doesNotExist();
  }
}
