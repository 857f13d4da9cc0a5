package io.epidote.engine.reference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.Models;
import io.epidote.engine.model.RuntimeOptions;
import io.epidote.engine.model.SequenceChunk.MediaRows;
import io.epidote.engine.model.VisionEncoder;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Media tokens, and answers about a picture, are those of another implementation. */
class VisionReferenceTest {
  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(VisionReferenceModel.class)
  void mediaTokensAndAnswersAreTheReferences(VisionReferenceModel model) throws Exception {
    Path written = VisionReferenceCheckpoint.write(model, folder.resolve("m"));
    VisionGolden golden = model.golden();
    assertThat(ReferenceTest.sha256(written.resolve("model.safetensors")))
        .isEqualTo(golden.weightsSha256());
    assertThat(golden.greedy()).hasSize(64);
    RuntimeOptions options = RuntimeOptions.reference(1, folder.resolve("cache"));
    try (Checkpoint checkpoint = Checkpoint.open(written)) {
      Models models = new Models(checkpoint, options);
      ByteBuffer rows;
      int hidden;
      try (VisionEncoder encoder = models.openVision()) {
        ByteBuffer made =
            ByteBuffer.allocateDirect(encoder.tileBytes()).order(ByteOrder.nativeOrder());
        encoder.encode(List.of(model.tile()), List.of(made));
        hidden = encoder.hiddenSize();
        rows = inOrder(golden.media(), made, hidden);
      }
      for (int i = 0; i < golden.media().size(); i++) {
        assertRow(golden.media().get(i), rows.asFloatBuffer().slice(i * hidden, hidden));
      }
      List<MediaRows> media =
          List.of(
              new MediaRows(
                  golden.prompt().indexOf(VisionReferenceModel.IMAGE_TOKEN),
                  golden.media().size(),
                  rows));
      try (Decoder decoder = models.openDecoder()) {
        GreedyAnswer.of(decoder, golden.prompt(), media, golden.greedy().size())
            .assertIs(golden.greedy(), golden.steps());
      }
    }
  }

  private static ByteBuffer inOrder(List<VisionGolden.Row> order, ByteBuffer made, int hidden) {
    int bytes = hidden * Float.BYTES;
    ByteBuffer rows =
        ByteBuffer.allocateDirect(order.size() * bytes).order(ByteOrder.nativeOrder());
    order.forEach(row -> rows.put(made.slice(row.row() * bytes, bytes)));
    return rows.flip();
  }

  private static void assertRow(VisionGolden.Row golden, FloatBuffer row) {
    double squares = 0;
    for (int i = 0; i < row.limit(); i++) {
      squares += row.get(i) * row.get(i);
    }
    assertThat(Math.sqrt(squares)).isCloseTo(golden.norm(), within(2e-3 * golden.norm()));
    for (int i = 0; i < golden.values().size(); i++) {
      assertThat((double) row.get(i))
          .as("row %d, value %d", golden.row(), i)
          .isCloseTo(golden.values().get(i), within(1e-2));
    }
  }
}
