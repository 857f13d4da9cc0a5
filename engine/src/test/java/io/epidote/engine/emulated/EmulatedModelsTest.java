package io.epidote.engine.emulated;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.Logits;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.model.SequenceChunk.MediaRows;
import io.epidote.engine.model.VisionEncoder;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EmulatedModelsTest {
  private static final int[] PROMPT = IntStream.range(3, 43).toArray();

  @TempDir Path folder;

  // Set before each test.
  @SuppressWarnings("NullAway.Init")
  private ModelConfig config;

  @BeforeEach
  void readConfig() {
    Path model = CheckpointFixture.write(Form.IDEFICS3_LLAMA, folder.resolve("m"), 3);
    try (Checkpoint checkpoint = Checkpoint.open(model)) {
      config = checkpoint.config();
    }
  }

  private EmulatedModels models(String costs) {
    return new EmulatedModels(config, CostProfile.parse(costs), new TimingAudit());
  }

  @Test
  void theNextTokenIsTheSameHoweverThePromptIsCut() {
    try (Decoder decoder = models("tile_ms:0").openDecoder()) {
      BlockPool kv = decoder.shape().kvPool(16);
      List<MediaRows> media = List.of(new MediaRows(2, 1, row(decoder, 0.5f)));
      int whole = token(decoder, kv, prompt(kv.tryAllocate(3).orElseThrow(), media));

      int[] cut = kv.tryAllocate(3).orElseThrow();
      decoder.step(kv, List.of(new SequenceChunk(Arrays.copyOf(PROMPT, 20), 0, cut, media, false)));
      int[] rest = Arrays.copyOfRange(PROMPT, 20, 40);
      assertThat(token(decoder, kv, new SequenceChunk(rest, 20, cut, List.of(), true)))
          .isEqualTo(whole);
      assertThat(config.eosTokenIds()).doesNotContain(whole);
    }
  }

  @Test
  void theNextTokenDependsOnMediaOnTokensAndOnBlocks() {
    try (Decoder decoder = models("tile_ms:0").openDecoder()) {
      BlockPool kv = decoder.shape().kvPool(64);
      long distinct =
          IntStream.range(0, 12)
              .map(i ->
                  token(
                      decoder,
                      kv,
                      prompt(
                          kv.tryAllocate(3).orElseThrow(),
                          List.of(new MediaRows(2, 1, row(decoder, i))))))
              .distinct()
              .count();
      assertThat(distinct).isGreaterThan(6);

      // A decode that goes on after blocks were mixed up comes to other tokens.
      int[] blocks = kv.tryAllocate(3).orElseThrow();
      token(decoder, kv, prompt(blocks, List.of()));
      int[] swapped = {blocks[1], blocks[0], blocks[2]};
      assertThat(answer(decoder, kv, swapped)).isNotEqualTo(answer(decoder, kv, blocks));
      assertThat(answer(decoder, kv, blocks)).isEqualTo(answer(decoder, kv, blocks));
    }
  }

  private static List<Integer> answer(Decoder decoder, BlockPool kv, int[] blocks) {
    return IntStream.range(0, 8)
        .mapToObj(i ->
            token(
                decoder,
                kv,
                new SequenceChunk(new int[] {9}, PROMPT.length + i, blocks, List.of(), true)))
        .toList();
  }

  @Test
  void mediaTokensAreAFunctionOfTheTile() {
    try (VisionEncoder encoder = models("tile_ms:0").openVision()) {
      List<ByteBuffer> out = IntStream.range(0, 3).mapToObj(i -> output(encoder)).toList();
      encoder.encode(List.of(tile(1), tile(2)), out.subList(0, 2));
      encoder.encode(List.of(tile(1)), out.subList(2, 3));
      assertThat(out.get(2)).isEqualTo(out.get(0)).isNotEqualTo(out.get(1));
      assertThat(out.get(0).getFloat(0)).isBetween(-1f, 1f);
    }
  }

  @Test
  void stepsTakeWhatTheProfileSays() {
    EmulatedModels models =
        models("encode_step_ms:2,tile_ms:3,prompt_token_ms:0.25,decode_step_ms:6");
    try (VisionEncoder encoder = models.openVision();
        Decoder decoder = models.openDecoder()) {
      BlockPool kv = decoder.shape().kvPool(16);
      int[] blocks = kv.tryAllocate(3).orElseThrow();
      assertTakes(
          8,
          () ->
              encoder.encode(List.of(tile(1), tile(2)), List.of(output(encoder), output(encoder))));
      assertTakes(10, () -> token(decoder, kv, prompt(blocks, List.of())));
      assertTakes(
          6,
          () -> token(decoder, kv, new SequenceChunk(new int[] {9}, 40, blocks, List.of(), true)));
    }
  }

  /** The fastest of some: the others may have had to wait for a core. */
  private static void assertTakes(double ms, Runnable step) {
    double least = Double.MAX_VALUE;
    for (int i = 0; i < 10; i++) {
      long start = System.nanoTime();
      step.run();
      least = Math.min(least, (System.nanoTime() - start) / 1e6);
    }
    // One that follows at once may begin a twentieth earlier.
    assertThat(least).isBetween(0.94 * ms, ms + 0.9);
  }

  @Test
  void aProfileIsReadFromItsOwnWord() {
    CostProfile read = CostProfile.parse("tile_ms:20.5,decode_step_ms:4");
    assertThat(read.ms("tile_ms")).isEqualTo(20.5);
    assertThat(read.ms("decode_step_ms")).isEqualTo(4);
    assertThat(read.ms("prompt_token_ms")).isZero();
    assertThat(CostProfile.parse(read.word())).isEqualTo(read);
  }

  @Test
  void whatIsNoCostIsNamed() {
    for (String wrong : List.of("tiles:3", "tile_ms:-1", "tile_ms:x", "tile_ms:1,tile_ms:2")) {
      assertThatThrownBy(() -> CostProfile.parse(wrong))
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining(wrong.substring(0, 5))
          .hasMessageContaining("expected");
    }
    assertThatThrownBy(() -> CostProfile.parse("nowhere.json"))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("nowhere.json");
  }

  private static SequenceChunk prompt(int[] blocks, List<MediaRows> media) {
    return new SequenceChunk(PROMPT, 0, blocks, media, true);
  }

  private static int token(Decoder decoder, BlockPool kv, SequenceChunk chunk) {
    Logits logits = decoder.step(kv, List.of(chunk));
    FloatBuffer row = logits.row(0);
    return IntStream.range(0, logits.vocabulary()).filter(i -> row.get(i) > 0).sum();
  }

  private static ByteBuffer row(Decoder decoder, float value) {
    return ByteBuffer.allocateDirect(decoder.shape().hiddenSize() * Float.BYTES)
        .order(ByteOrder.nativeOrder())
        .putFloat(0, value);
  }

  private static ByteBuffer output(VisionEncoder encoder) {
    return ByteBuffer.allocateDirect(encoder.tileBytes()).order(ByteOrder.nativeOrder());
  }

  private static FloatBuffer tile(float value) {
    return ByteBuffer.allocateDirect(300)
        .order(ByteOrder.nativeOrder())
        .asFloatBuffer()
        .put(70, value);
  }
}
