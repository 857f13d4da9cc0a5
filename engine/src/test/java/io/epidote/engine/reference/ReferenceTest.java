package io.epidote.engine.reference;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.Models;
import io.epidote.engine.model.RuntimeOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Answers at full precision are those of another implementation on the same weights. */
class ReferenceTest {
  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(ReferenceModel.class)
  void tokensAndLogProbabilitiesAreTheReferences(ReferenceModel model) throws Exception {
    Path written = ReferenceCheckpoint.write(model, folder.resolve("m"));
    Golden golden = model.golden();
    assertThat(sha256(written.resolve("model.safetensors"))).isEqualTo(golden.weightsSha256());
    assertThat(golden.greedy()).hasSize(64);
    try (Checkpoint checkpoint = Checkpoint.open(written);
        Decoder decoder =
            new Models(checkpoint, RuntimeOptions.reference(1, folder.resolve("cache")))
                .openDecoder()) {
      GreedyAnswer.of(decoder, golden.prompt(), List.of(), golden.greedy().size())
          .assertIs(golden.greedy(), golden.steps());
    }
  }

  static String sha256(Path file) throws IOException, NoSuchAlgorithmException {
    return HexFormat.of()
        .formatHex(MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file)));
  }
}
