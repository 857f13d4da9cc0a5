package io.epidote.engine.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.image.TilePlan;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PromptBuilderTest {
  /** Tiles of the fixture become four media tokens. */
  private static final int TILE = 4;

  private static final TilePlan SINGLE = new TilePlan(1, 1, 32);
  private static final TilePlan GRID = new TilePlan(1, 2, 32);

  @TempDir Path folder;
  private ModelConfig config;
  private Tokenizer tokenizer;
  private PromptBuilder builder;

  @BeforeEach
  void open() {
    CheckpointFixture.write(Form.SCENES, folder, 1);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      config = checkpoint.config();
    }
    tokenizer = Tokenizer.open(folder);
    builder = PromptBuilder.open(folder, config, tokenizer);
  }

  @AfterEach
  void close() {
    tokenizer.close();
  }

  @Test
  void expandsAPictureOfOneTile() {
    Prompt prompt = builder.build("<|user|><image>What?", List.of(SINGLE));
    assertThat(names(prompt))
        .containsExactly(
            "<|user|>",
            "<fake_token_around_image>",
            "<global-img>",
            "<image>",
            "<image>",
            "<image>",
            "<image>",
            "<fake_token_around_image>",
            "▁what",
            "?");
    assertThat(prompt.spans()).containsExactly(new Span(0, 0, 3, TILE));
    assertThat(prompt.mediaTokens()).isEqualTo(4);
  }

  @Test
  void expandsAPictureOfSeveralTiles() {
    Prompt prompt = builder.build("<|user|>Is<image> red", List.of(new TilePlan(2, 2, 32)));
    assertThat(String.join(" ", names(prompt)).replace("<image> <image> <image> <image>", "TILE"))
        .isEqualTo(
            "<|user|> ▁is"
                + " <fake_token_around_image> <row_1_col_1> TILE"
                + " <fake_token_around_image> <row_1_col_2> TILE \n"
                + " <fake_token_around_image> <row_2_col_1> TILE"
                + " <fake_token_around_image> <row_2_col_2> TILE \n"
                + " \n <fake_token_around_image> <global-img> TILE <fake_token_around_image> ▁red");
    assertThat(prompt.spans()).extracting(Span::tile).containsExactly(0, 1, 2, 3, 4);
    assertSpansHoldExactlyTheImageTokens(prompt);
  }

  @Test
  void adjacentPicturesKeepTheirOwnSpans() {
    Prompt prompt = builder.build("<image><image><image>", List.of(SINGLE, GRID, SINGLE));
    assertThat(prompt.spans()).extracting(Span::item).containsExactly(0, 1, 1, 1, 2);
    assertThat(prompt.spans()).extracting(Span::tile).containsExactly(0, 0, 1, 2, 0);
    assertThat(prompt.mediaTokens()).isEqualTo(5 * TILE);
    assertSpansHoldExactlyTheImageTokens(prompt);
  }

  @Test
  void anyNumberOfPicturesAnywhere() {
    Random random = new Random(3);
    List<String> texts =
        List.of("", "a red circle", "\n", "<fake_token_around_image>", " ", "été?");
    for (int round = 0; round < 100; round++) {
      StringBuilder text = new StringBuilder();
      List<TilePlan> pictures = new ArrayList<>();
      int tiles = 0;
      for (int i = random.nextInt(5); i > 0; i--) {
        text.append(texts.get(random.nextInt(texts.size()))).append("<image>");
        pictures.add(new TilePlan(1 + random.nextInt(4), 1 + random.nextInt(4), 32));
        tiles += pictures.getLast().tiles();
      }
      text.append(texts.get(random.nextInt(texts.size())));
      Prompt prompt = builder.build(text.toString(), pictures);
      assertThat(prompt.spans()).hasSize(tiles);
      assertSpansHoldExactlyTheImageTokens(prompt);
    }
  }

  @Test
  void markersInTheTextAreTextAndMoveNoSpan() {
    Prompt prompt =
        builder.build("<fake_token_around_image><row_1_col_1><global-img><image>", List.of(SINGLE));
    assertThat(prompt.spans()).containsExactly(new Span(0, 0, 5, TILE));
    assertSpansHoldExactlyTheImageTokens(prompt);
  }

  @Test
  void tellsMoreAndFewerPlaceholdersThanPictures() {
    assertThatThrownBy(() -> builder.build("a <image> b <image>", List.of(SINGLE)))
        .isInstanceOf(InvalidRequest.class)
        .hasMessage(
            "the conversation has 2 <image> placeholders, but the request has 1 pictures; give one"
                + " picture for each, and write no <image> into the text itself");
    assertThatThrownBy(() -> builder.build("a", List.of(SINGLE)))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("has 0 <image> placeholders, but the request has 1 pictures");
    assertThatThrownBy(() -> builder.build("<image>", List.of()))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("has 1 <image> placeholders, but the request has 0 pictures");
  }

  @Test
  void tellsImageTokensThatTheTextMakesInAnotherWay() throws Exception {
    Path file = folder.resolve("tokenizer.json");
    // A token that is matched after lower-casing can be written in capitals.
    Files.writeString(
        file, Files.readString(file).replace("\"normalized\" : false", "\"normalized\" : true"));
    try (Tokenizer loose = Tokenizer.open(folder)) {
      PromptBuilder looseBuilder = PromptBuilder.open(folder, config, loose);
      assertThat(loose.encode("<IMAGE>")).containsExactly(CheckpointFixture.IMAGE);
      for (String text : List.of("<IMAGE><image>", "<image> a <IMAGE>")) {
        assertThatThrownBy(() -> looseBuilder.build(text, List.of(SINGLE)))
            .isInstanceOf(InvalidRequest.class)
            .hasMessageContaining("the text contains the model's image token in another spelling");
      }
    }
  }

  @Test
  void buildsPromptsOfTextOnly() {
    CheckpointFixture.write(Form.LLAMA_TIED, folder, 1);
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      PromptBuilder textOnly = PromptBuilder.open(folder, checkpoint.config(), tokenizer);
      Prompt prompt = textOnly.build("<|user|>what", List.of());
      assertThat(names(prompt)).containsExactly("<|user|>", "▁what");
      assertThat(prompt.spans()).isEmpty();
      assertThatThrownBy(() -> textOnly.build("<image>", List.of(SINGLE)))
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining("has 1 pictures, but the model takes text only");
    }
  }

  @Test
  void tellsATokenizerWithoutTheMarkers() throws Exception {
    Path file = folder.resolve("tokenizer.json");
    String good = Files.readString(file);
    Files.writeString(file, good.replace("<global-img>", "<globe>"));
    try (Tokenizer other = Tokenizer.open(folder)) {
      assertThatThrownBy(() -> PromptBuilder.open(folder, config, other))
          .isInstanceOf(BadCheckpoint.class)
          .hasMessageContaining("has no token <global-img>, which pictures of an idefics3 model");
    }
    assertThatThrownBy(() -> builder.build("<image>", List.of(new TilePlan(5, 1, 32))))
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining("tokenizer.json has no token <row_5_col_1>");
  }

  private static void assertSpansHoldExactlyTheImageTokens(Prompt prompt) {
    List<Integer> inSpans = new ArrayList<>();
    for (Span span : prompt.spans()) {
      assertThat(span.tokens()).isEqualTo(TILE);
      for (int i = 0; i < span.tokens(); i++) {
        inSpans.add(span.position() + i);
      }
    }
    List<Integer> imageTokens = new ArrayList<>();
    for (int i = 0; i < prompt.tokenIds().length; i++) {
      if (prompt.tokenIds()[i] == CheckpointFixture.IMAGE) {
        imageTokens.add(i);
      }
    }
    assertThat(inSpans).isEqualTo(imageTokens).hasSize(prompt.mediaTokens());
  }

  private List<String> names(Prompt prompt) {
    List<String> names = new ArrayList<>();
    for (int id : prompt.tokenIds()) {
      String text = tokenizer.tokenText(id);
      names.add(text.startsWith(" ") ? "▁" + text.substring(1) : text);
    }
    return names;
  }
}
