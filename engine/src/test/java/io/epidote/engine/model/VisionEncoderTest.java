package io.epidote.engine.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Tower and connector against {@link NaiveVision}, in each of their forms. */
class VisionEncoderTest {
  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(
      value = Form.class,
      names = {"SCENES", "IDEFICS3_LLAMA", "LLAVA_CLIP", "LLAVA_SIGLIP"})
  void mediaTokensAreThoseOfTheNaiveTowerAloneAndInABatch(Form form) {
    try (Checkpoint checkpoint =
            Checkpoint.open(CheckpointFixture.write(form, folder.resolve("m"), 3));
        VisionEncoder encoder =
            new Models(checkpoint, RuntimeOptions.reference(1, folder.resolve("cache")))
                .openVision()) {
      int size = checkpoint.config().vision().orElseThrow().imageSize();
      List<FloatBuffer> tiles = new ArrayList<>();
      List<ByteBuffer> outputs = new ArrayList<>();
      Random random = new Random(4);
      for (int i = 0; i < 5; i++) {
        FloatBuffer tile = FloatBuffer.allocate(3 * size * size);
        while (tile.hasRemaining()) {
          tile.put(random.nextFloat() * 2 - 1);
        }
        tiles.add(tile.flip());
        outputs.add(ByteBuffer.allocateDirect(encoder.tileBytes()).order(ByteOrder.nativeOrder()));
      }
      encoder.encode(tiles, outputs);
      NaiveVision naive = new NaiveVision(checkpoint);
      ByteBuffer alone =
          ByteBuffer.allocateDirect(encoder.tileBytes()).order(ByteOrder.nativeOrder());
      for (int i = 0; i < tiles.size(); i++) {
        double[] expected = naive.mediaTokens(tiles.get(i).array());
        FloatBuffer actual = outputs.get(i).asFloatBuffer();
        assertThat(actual.remaining()).isEqualTo(expected.length);
        for (int j = 0; j < expected.length; j++) {
          assertThat((double) actual.get(j)).isCloseTo(expected[j], within(1e-4));
        }
        encoder.encode(List.of(tiles.get(i)), List.of(alone));
        for (int j = 0; j < expected.length; j++) {
          assertThat(actual.get(j)).isCloseTo(alone.getFloat(j * Float.BYTES), within(1e-5f));
        }
      }
    }
  }

  /** Bit for bit, where ONNX Runtime's linear layers are so, too. */
  @ParameterizedTest
  @EnumSource(
      value = Form.class,
      names = {"IDEFICS3_LLAMA", "LLAVA_CLIP", "LLAVA_SIGLIP"})
  void aTileIsTheSameAloneAndAmongThreeAtInt8(Form form) {
    RuntimeOptions options = new RuntimeOptions(2, Precision.INT8, folder.resolve("cache"), true);
    try (Checkpoint checkpoint =
            Checkpoint.open(CheckpointFixture.write(form, folder.resolve("m"), 3));
        VisionEncoder encoder = new Models(checkpoint, options).openVision()) {
      int size = checkpoint.config().vision().orElseThrow().imageSize();
      Random random = new Random(4);
      List<FloatBuffer> tiles = new ArrayList<>();
      List<ByteBuffer> outputs = new ArrayList<>();
      for (int i = 0; i < 3; i++) {
        FloatBuffer tile = FloatBuffer.allocate(3 * size * size);
        while (tile.hasRemaining()) {
          tile.put(random.nextFloat() * 2 - 1);
        }
        tiles.add(tile.flip());
        outputs.add(ByteBuffer.allocateDirect(encoder.tileBytes()).order(ByteOrder.nativeOrder()));
      }
      encoder.encode(tiles, outputs);
      for (int i = 0; i < tiles.size(); i++) {
        ByteBuffer alone =
            ByteBuffer.allocateDirect(encoder.tileBytes()).order(ByteOrder.nativeOrder());
        encoder.encode(List.of(tiles.get(i)), List.of(alone));
        assertThat(alone).isEqualTo(outputs.get(i));
      }
    }
  }

  @Test
  void aTextModelHasNoTower() {
    try (Checkpoint checkpoint =
        Checkpoint.open(CheckpointFixture.write(Form.QWEN2, folder.resolve("m"), 3))) {
      Models models = new Models(checkpoint, RuntimeOptions.reference(1, folder.resolve("cache")));
      assertThatThrownBy(models::openVision)
          .isInstanceOf(BadCheckpoint.class)
          .hasMessageContaining("--stages prefill,decode");
    }
  }
}
