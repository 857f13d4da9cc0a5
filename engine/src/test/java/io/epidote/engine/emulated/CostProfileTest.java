package io.epidote.engine.emulated;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.cost.CostStage;
import io.epidote.engine.cost.StepWork;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.image.ImageLimits;
import io.epidote.engine.image.ImageProcessor;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Models;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class CostProfileTest {
  private static final String WHOLE =
      """
      {"about": "a device",
       "costs": {"picture_ms": 3, "tile_ms": 20, "prompt_pair_ms": 1e-6, "kv_token_ms": 2e-4},
       "memory": {"device_gib": 80, "reserved_gib": 4, "encoder_gib": 1, "decoder_gib": 15,
        "kv_share": 0.75},
       "link": {"gigabytes_s": 50, "latency_ms": 0.2},
       "model": {"tile_size": 448, "longest_edge": 1344, "tile_tokens": 64,
        "media_token_bytes": 7168, "kv_token_bytes": 57344, "context_tokens": 4096}}\
      """;

  @TempDir Path folder;

  private CostProfile read(String json) throws Exception {
    return CostProfile.parse(Files.writeString(folder.resolve("device.json"), json).toString());
  }

  @Test
  void aFileTellsAllOfADevice() throws Exception {
    CostProfile device = read(WHOLE);
    assertThat(device.pictureMs()).hasValue(3);
    assertThat(device.encode().ms(new StepWork.Encode(4))).isCloseTo(80, within(1e-9));
    assertThat(device.prefill().ms(new StepWork.Prefill(100, 5000, 0, 0)))
        .isCloseTo(0.005, within(1e-9));
    assertThat(device.decode().ms(new StepWork.Decode(2, 1000, 0))).isCloseTo(0.2, within(1e-9));
    assertThat(device.link()).contains(new DeviceLink(50, 0.2));
    assertThat(device.byteScale()).isEqualTo(112);
    assertThat(CostProfile.parse(device.word())).isEqualTo(device);
  }

  @Test
  void timeRunsFasterInAllParts() throws Exception {
    CostProfile device = read(WHOLE).faster(4);
    assertThat(device.pictureMs()).hasValue(0.75);
    assertThat(device.ms("tile_ms")).isEqualTo(5);
    assertThat(device.link()).contains(new DeviceLink(200, 0.05));
    assertThat(device.timeScale()).isEqualTo(4);
    assertThatThrownBy(() -> device.faster(0)).isInstanceOf(InvalidRequest.class);
  }

  @Test
  void memoryIsWhatWeightsLeave() {
    DeviceMemory memory = new DeviceMemory(80, 4, 1, 15, 0.75);
    assertThat(memory.room(true, false, false)).isEqualTo(new DeviceMemory.Room(0, gib(75)));
    assertThat(memory.room(false, false, true)).isEqualTo(new DeviceMemory.Room(gib(61), 0));
    assertThat(memory.room(true, true, true)).isEqualTo(new DeviceMemory.Room(gib(45), gib(15)));
    assertThatThrownBy(() -> new DeviceMemory(16, 4, 1, 15, 0.5).room(false, true, true))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("device_gib");
  }

  private static long gib(long count) {
    return count << 30;
  }

  @ParameterizedTest
  @CsvSource({
    // MiniCPM-V 2.6: nine tiles and an overview of 64 tokens; InternVL2: twelve and one of 256.
    "1344, 64, 7168, 57344, 4032, 3024, 10",
    "1792, 256, 8192, 131072, 4032, 3024, 13",
    "1792, 256, 12288, 196608, 4032, 3024, 13",
    "1344, 64, 7168, 57344, 448, 336, 1",
  })
  void aPictureHasTheTilesAndTokensOfTheRealModel(
      int edge, int tokens, int mediaBytes, int kvBytes, int width, int height, int tiles) {
    EmulatedShape shape = new EmulatedShape(448, edge, tokens, mediaBytes, kvBytes, 32768);
    Path model = shape.folder(folder);
    assertThat(shape.folder(folder)).isEqualTo(model);
    try (Checkpoint checkpoint = Checkpoint.open(model)) {
      ModelConfig config = checkpoint.config();
      assertThat(config.tileTokens()).isEqualTo(tokens);
      assertThat(
              ImageProcessor.open(model, config, ImageLimits.defaults())
                  .plan(width, height)
                  .tiles())
          .isEqualTo(tiles);
      DecoderShape stand = Models.decoderShape(config.text());
      assertThat(stand.contextTokens()).isEqualTo(32768);
      // Both kinds of blocks are smaller by the same factor.
      assertThat(stand.hiddenSize() * Float.BYTES * shape.byteScale()).isEqualTo(mediaBytes);
      assertThat(stand.kvBlockBytes() / DecoderShape.BLOCK_TOKENS * shape.byteScale())
          .isEqualTo(kvBytes);
    }
  }

  @Test
  void tilesDependOnFileAndPlaceAndOnNothingElse() throws Exception {
    EmulatedPictures pictures = new EmulatedPictures(read(WHOLE));
    List<FloatBuffer> tiles = pictures.tiles(ByteBuffer.wrap(new byte[] {1, 2, 3}), 3);
    assertThat(tiles).hasSize(3).doesNotHaveDuplicates();
    assertThat(pictures.tiles(ByteBuffer.wrap(new byte[] {1, 2, 3}), 3)).isEqualTo(tiles);
    assertThat(pictures.tiles(ByteBuffer.wrap(new byte[] {1, 2, 4}), 3))
        .doesNotContainAnyElementsOf(tiles);
  }

  @Test
  void stepsThatFollowAtOnceAreNotShorterTogetherThanTheyShouldBe() {
    TimingAudit audit = new TimingAudit();
    StepClock clock = new StepClock(audit);
    long start = System.nanoTime();
    for (int step = 0; step < 20; step++) {
      clock.finish(CostStage.DECODE, System.nanoTime(), 3);
    }
    // The first may be taken to have followed what was before it, by a twentieth of its time.
    assertThat((System.nanoTime() - start) / 1e6).isGreaterThan(20 * 3 - 0.2);
    assertThat(audit.steps(CostStage.DECODE)).isEqualTo(20);
    assertThat(audit.error(CostStage.DECODE)).isNotNegative();
    audit.forget();
    assertThat(audit.error(CostStage.DECODE)).isZero();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"tile_ms\": 3}",
        "{\"costs\": {\"tile_ms\": \"3\"}}",
        "{\"costs\": {\"tiles\": 3}}",
        "{\"costs\": {}, \"link\": {\"gigabytes_s\": 3}}",
        "{\"costs\": {}, \"link\": {\"gigabytes_s\": 0, \"latency_ms\": 1}}",
        "{\"costs\": {}, \"links\": {}}",
        "[",
      })
  void whatIsWrongInAFileIsNamed(String json) {
    assertThatThrownBy(() -> read(json))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("expected");
  }

  @Test
  void sizesThatNoStandInHasAreNamed() {
    assertThatThrownBy(() -> new EmulatedShape(448, 1344, 100, 7168, 57344, 4096))
        .hasMessageContaining("tile_tokens");
    assertThatThrownBy(() -> new EmulatedShape(448, 1344, 64, 7000, 57344, 4096))
        .hasMessageContaining("media_token_bytes");
    assertThatThrownBy(() -> new EmulatedShape(448, 1344, 64, 7168, 57000, 4096))
        .hasMessageContaining("kv_token_bytes");
  }
}
