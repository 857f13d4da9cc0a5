package io.epidote.engine.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.image.MediaPlan;
import io.epidote.engine.image.TilePlan;
import io.epidote.engine.image.VideoPlan;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What becomes of media in prompts, by the model's form. */
class MediaMarkupTest {
  private static final TilePlan PICTURE = new TilePlan(1, 1, 32);
  private static final VideoPlan VIDEO =
      new VideoPlan(List.of(0, 5, 9), List.of(0.0, 59.9, 3661.5), 3665.8);

  @TempDir Path folder;

  /** As SmolVLM2's processor writes it. */
  @Test
  void aVideoIsASeriesOfFramesWithTheirTimes() {
    try (Tokenizer tokenizer = open(Form.SCENES)) {
      StringBuilder text = new StringBuilder();
      new Idefics3Markup(tokenizer, "<image><image>").append(text, VIDEO);
      String frame = "<fake_token_around_image><global-img><image><image><fake_token_around_image>";
      assertThat(text.toString())
          .isEqualTo(
              "You are provided the following series of three frames from a 1:01:05 [H:MM:SS] video.\n"
                  + "\nFrame from 00:00:"
                  + frame
                  + "\nFrame from 00:59:"
                  + frame
                  + "\nFrame from 61:01:"
                  + frame
                  + "\n\n");
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, one",
    "13, thirteen",
    "20, twenty",
    "64, sixty-four",
    "100, one hundred",
    "105, one hundred and five",
    "999, nine hundred and ninety-nine"
  })
  void numbersAreWrittenOut(int number, String words) {
    assertThat(NumberWords.of(number)).isEqualTo(words);
  }

  @Test
  void picturesAndVideosGoToTheirOwnPlaceholders() {
    try (Tokenizer tokenizer = open(Form.SCENES)) {
      PromptBuilder builder = PromptBuilder.open(folder, config(), tokenizer);
      Prompt prompt = builder.build("a<video>b<image>c<image>", List.of(PICTURE, VIDEO, PICTURE));
      assertThat(prompt.spans()).extracting(Span::item).containsExactly(1, 1, 1, 0, 2);
      assertThat(prompt.spans()).extracting(Span::tile).containsExactly(0, 1, 2, 0, 0);
      assertThat(prompt.mediaTokens()).isEqualTo(5 * 4);
      for (Span span : prompt.spans()) {
        for (int i = 0; i < span.tokens(); i++) {
          assertThat(prompt.tokenIds()[span.position() + i]).isEqualTo(CheckpointFixture.IMAGE);
        }
      }
      assertThatThrownBy(() -> builder.build("<image>", List.of(VIDEO)))
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining("1 <image> placeholders, but the request has 0 pictures");
      assertThatThrownBy(() -> builder.build("a", List.of(VIDEO)))
          .hasMessageContaining("0 <video> placeholders, but the request has 1 videos");
      // Without videos the word is text.
      assertThat(builder.build("what is a <video>", List.of()).spans()).isEmpty();
    }
  }

  @Test
  void llavasPicturesAreImageTokensAlone() {
    try (Tokenizer tokenizer = open(Form.LLAVA_CLIP)) {
      Prompt prompt =
          PromptBuilder.open(folder, config(), tokenizer)
              .build("<|user|><image>what<image><|assistant|>", List.of(PICTURE, PICTURE));
      int image = CheckpointFixture.IMAGE;
      int what = tokenizer.id("▁what");
      assertThat(prompt.tokenIds())
          .containsExactly(2, image, image, image, image, what, image, image, image, image, 3);
      assertThat(prompt.spans()).containsExactly(new Span(0, 0, 1, 4), new Span(1, 0, 6, 4));
    }
  }

  /** Vicuna's tokenizer begins every text, its template does not. */
  @Test
  void llavasPromptsBeginAsTheTokenizerSays() throws IOException {
    open(Form.LLAVA_CLIP).close();
    ObjectMapper mapper = new ObjectMapper();
    Path file = folder.resolve("tokenizer.json");
    ObjectNode json = (ObjectNode) mapper.readTree(file.toFile());
    json.set(
        "post_processor",
        mapper.readTree(
            """
            {"type": "TemplateProcessing",
             "single": [{"SpecialToken": {"id": "<pad>", "type_id": 0}},
                        {"Sequence": {"id": "A", "type_id": 0}}],
             "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                      {"Sequence": {"id": "B", "type_id": 1}}],
             "special_tokens": {"<pad>": {"id": "<pad>", "ids": [0], "tokens": ["<pad>"]}}}\
            """));
    CheckpointFixture.writeJson(file, json);
    try (Tokenizer tokenizer = Tokenizer.open(folder)) {
      PromptBuilder builder = PromptBuilder.open(folder, config(), tokenizer);
      List<MediaPlan> pictures = List.of(PICTURE);
      assertThat(builder.build("<image>", pictures).tokenIds()).startsWith(0, 8).hasSize(5);
      assertThat(builder.build("<pad><image>", pictures).tokenIds()).startsWith(0, 8).hasSize(5);
      assertThat(builder.build("<image>", pictures).spans()).containsExactly(new Span(0, 0, 1, 4));
    }
  }

  private Tokenizer open(Form form) {
    CheckpointFixture.write(form, folder, 1);
    return Tokenizer.open(folder);
  }

  private ModelConfig config() {
    try (Checkpoint checkpoint = Checkpoint.open(folder)) {
      return checkpoint.config();
    }
  }
}
