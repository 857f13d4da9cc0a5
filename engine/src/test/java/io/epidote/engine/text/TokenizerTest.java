package io.epidote.engine.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenizerTest {
  @TempDir Path folder;
  private Tokenizer tokenizer;

  @BeforeEach
  void open() {
    CheckpointFixture.writeTokenizer(folder);
    tokenizer = Tokenizer.open(folder);
  }

  @AfterEach
  void close() {
    tokenizer.close();
  }

  @Test
  void encodesWordsAndPunctuationWithoutAddingAnything() {
    assertThat(tokenizer.encode("What color is the circle?"))
        .containsExactly(ids("▁what", "▁color", "▁is", "▁the", "▁circle", "?"));
    assertThat(tokenizer.encode("")).isEmpty();
  }

  @Test
  void writtenOutAddedTokensBecomeWhatTheyName() {
    assertThat(tokenizer.encode("<|user|>red<image>\n<end_of_utterance>"))
        .containsExactly(ids("<|user|>", "▁red", "<image>", "\n", "<end_of_utterance>"));
  }

  @Test
  void decodesWithoutSpecialTokens() {
    assertThat(
            tokenizer.decode(
                ids("<|assistant|>", "▁a", "▁red", "▁circle", ".", "<end_of_utterance>")))
        .isEqualTo("a red circle.");
    assertThat(tokenizer.decode()).isEmpty();
  }

  @Test
  void namesTokensAsTheyReadInASentence() {
    assertThat(tokenizer.tokenText(tokenizer.id("▁red"))).isEqualTo(" red");
    assertThat(tokenizer.tokenText(tokenizer.id("."))).isEqualTo(".");
    assertThat(tokenizer.tokenText(CheckpointFixture.EOS)).isEqualTo("<end_of_utterance>");
  }

  @Test
  void knowsIdsByName() {
    assertThat(tokenizer.id("<image>")).isEqualTo(CheckpointFixture.IMAGE);
    assertThat(tokenizer.id("▁no such word")).isEqualTo(-1);
    assertThat(tokenizer.isSpecial(CheckpointFixture.IMAGE)).isTrue();
    assertThat(tokenizer.isSpecial(tokenizer.id("\n"))).isFalse();
  }

  @Test
  void takesAnyString() {
    for (String text : List.of("\ud83d", "\ude00\ud83d red", "😀", "\0", "\u2028", "ÉTÉ")) {
      assertThat(tokenizer.encode(text)).isNotEmpty();
    }
    assertThat(tokenizer.encode("ÉTÉ")).containsExactly(ids("▁été"));
    assertThat(tokenizer.decode(-1, 100000)).isEmpty();
  }

  @Test
  void piecesOfTheDetokenizerAreTheWholeText() {
    Random random = new Random(11);
    for (int round = 0; round < 200; round++) {
      int[] answer = random.ints(1 + random.nextInt(40), 0, 100).toArray();
      Detokenizer detokenizer = tokenizer.newDetokenizer();
      StringBuilder pieces = new StringBuilder();
      for (int id : answer) {
        pieces.append(detokenizer.append(id));
      }
      pieces.append(detokenizer.flush());
      assertThat(pieces.toString()).isEqualTo(tokenizer.decode(answer));
    }
  }

  @Test
  void wordsComeWithTheirSpacesAsSoonAsTheyAreThere() {
    Detokenizer detokenizer = tokenizer.newDetokenizer();
    assertThat(detokenizer.append(tokenizer.id("<|assistant|>"))).isEmpty();
    assertThat(detokenizer.append(tokenizer.id("▁a"))).isEqualTo("a");
    assertThat(detokenizer.append(tokenizer.id("<image>"))).isEmpty();
    assertThat(detokenizer.append(tokenizer.id("▁red"))).isEqualTo(" red");
    assertThat(detokenizer.append(tokenizer.id("."))).isEqualTo(".");
    assertThat(detokenizer.append(CheckpointFixture.EOS)).isEmpty();
    assertThat(detokenizer.flush()).isEmpty();
  }

  @Test
  void threadsShareIt() throws ExecutionException, InterruptedException {
    try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
      List<Future<Boolean>> results = new ArrayList<>();
      for (int i = 0; i < 4; i++) {
        results.add(
            threads.submit(() ->
                IntStream.range(0, 300)
                    .allMatch(_ ->
                        tokenizer
                            .decode(tokenizer.encode("a red circle and a blue square."))
                            .equals("a red circle and a blue square."))));
      }
      for (Future<Boolean> result : results) {
        assertThat(result.get()).isTrue();
      }
    }
  }

  @Test
  void tellsAMissingFile() throws IOException {
    Files.delete(folder.resolve("tokenizer.json"));
    assertThatThrownBy(() -> Tokenizer.open(folder).close())
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining("tokenizer.json is missing from " + folder);
  }

  @Test
  void tellsAMalformedFile() throws IOException {
    Files.writeString(folder.resolve("tokenizer.json"), "{\"model\": {");
    assertThatThrownBy(() -> Tokenizer.open(folder).close())
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining("tokenizer.json is not JSON");
    Files.writeString(folder.resolve("tokenizer.json"), "{\"model\": {}}");
    assertThatThrownBy(() -> Tokenizer.open(folder).close())
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining("tokenizer.json is not a tokenizer of Hugging Face form");
  }

  private int[] ids(String... tokens) {
    int[] ids = new int[tokens.length];
    for (int i = 0; i < ids.length; i++) {
      ids[i] = tokenizer.id(tokens[i]);
      assertThat(ids[i]).as(tokens[i]).isNotNegative();
    }
    return ids;
  }
}
