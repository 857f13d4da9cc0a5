package io.epidote.engine.text;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.checkpoint.CheckpointFixture;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A tokenizer whose tokens are bytes: every character beyond ASCII comes in several tokens. */
class ByteLevelTokenizerTest {
  @TempDir Path folder;
  private Tokenizer tokenizer;

  @BeforeEach
  void open() {
    ObjectNode json = new ObjectMapper().createObjectNode();
    json.putArray("added_tokens");
    ObjectNode byteLevel =
        json.putObject("pre_tokenizer")
            .put("type", "ByteLevel")
            .put("add_prefix_space", false)
            .put("trim_offsets", true)
            .put("use_regex", true);
    json.set("decoder", byteLevel.deepCopy());
    ObjectNode model = json.putObject("model").put("type", "BPE");
    model.putArray("merges");
    ObjectNode vocabulary = model.putObject("vocab");
    int next = 256;
    for (int b = 0; b < 256; b++) {
      // GPT-2's alphabet: printable bytes stand for themselves, the others from U+0100 on.
      boolean printable = b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE;
      vocabulary.put(Character.toString(printable ? b : next++), b);
    }
    CheckpointFixture.writeJson(folder.resolve("tokenizer.json"), json);
    tokenizer = Tokenizer.open(folder);
  }

  @AfterEach
  void close() {
    tokenizer.close();
  }

  @Test
  void holdsBackIncompleteCharacters() {
    Detokenizer detokenizer = tokenizer.newDetokenizer();
    byte[] euro = "€".getBytes(StandardCharsets.UTF_8);
    assertThat(detokenizer.append('a')).isEqualTo("a");
    assertThat(detokenizer.append(euro[0] & 0xFF)).isEmpty();
    assertThat(detokenizer.append(euro[1] & 0xFF)).isEmpty();
    assertThat(detokenizer.append(euro[2] & 0xFF)).isEqualTo("€");
    assertThat(detokenizer.append(' ')).isEqualTo(" ");
    assertThat(detokenizer.append(euro[0] & 0xFF)).isEmpty();
    assertThat(detokenizer.flush()).isEqualTo("\uFFFD");
    assertThat(detokenizer.flush()).isEmpty();
  }

  @Test
  void anyTextComesBackWhole() {
    String text = "Où est l'été? 日本語 😀👩‍👩‍👧 𝄞 done\n\t.";
    int[] ids = tokenizer.encode(text);
    assertThat(ids).hasSize(text.getBytes(StandardCharsets.UTF_8).length);
    assertThat(tokenizer.decode(ids)).isEqualTo(text);
    assertThat(stream(ids)).isEqualTo(text);
  }

  @Test
  void junkBytesAreNotHeldBackForEver() {
    Detokenizer detokenizer = tokenizer.newDetokenizer();
    StringBuilder pieces = new StringBuilder();
    for (int i = 0; i < 100; i++) {
      pieces.append(detokenizer.append(0xFF));
    }
    assertThat(pieces.length()).isGreaterThanOrEqualTo(80);
  }

  @Test
  void piecesOfAnyBytesAreTheWholeText() {
    Random random = new Random(5);
    for (int round = 0; round < 300; round++) {
      int[] ids = random.ints(1 + random.nextInt(60), 0, 256).toArray();
      assertThat(stream(ids)).isEqualTo(tokenizer.decode(ids));
    }
  }

  private String stream(int[] ids) {
    Detokenizer detokenizer = tokenizer.newDetokenizer();
    StringBuilder pieces = new StringBuilder();
    for (int id : ids) {
      pieces.append(detokenizer.append(id));
    }
    return pieces.append(detokenizer.flush()).toString();
  }
}
