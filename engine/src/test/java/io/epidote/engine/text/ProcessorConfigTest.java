package io.epidote.engine.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ProcessorConfigTest {
  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      nullValues = "agrees",
      value = {
        "SCENES | {} | agrees",
        "SCENES | {\"image_seq_len\": 4} | agrees",
        "SCENES | {\"image_seq_len\": 81} | image_seq_len is 81, expected 4",
        "LLAVA_CLIP | {\"patch_size\": 16, \"vision_feature_select_strategy\": \"default\", \"num_additional_image_tokens\": 1} | agrees",
        "LLAVA_SIGLIP | {\"patch_size\": 16, \"vision_feature_select_strategy\": \"full\", \"num_additional_image_tokens\": 0} | agrees",
        "LLAVA_CLIP | {\"patch_size\": 14} | patch_size is 14, expected vision_config.patch_size = 16",
        "LLAVA_CLIP | {\"vision_feature_select_strategy\": \"full\"} | expected config.json's \"default\"",
        "LLAVA_CLIP | {\"num_additional_image_tokens\": 0} | num_additional_image_tokens is 0, expected 1",
      })
  void mustAgreeWithTheModel(Form form, String json, String error) throws JsonProcessingException {
    CheckpointFixture.write(form, folder, 1);
    CheckpointFixture.writeJson(
        folder.resolve("processor_config.json"), new ObjectMapper().readTree(json));
    try (Checkpoint checkpoint = Checkpoint.open(folder);
        Tokenizer tokenizer = Tokenizer.open(folder)) {
      if (error == null) {
        assertThat(PromptBuilder.open(folder, checkpoint.config(), tokenizer)).isNotNull();
      } else {
        assertThatThrownBy(() -> PromptBuilder.open(folder, checkpoint.config(), tokenizer))
            .isInstanceOf(BadCheckpoint.class)
            .hasMessageContaining(error);
      }
    }
  }
}
