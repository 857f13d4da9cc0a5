package io.epidote.engine.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.SequenceChunk.MediaRows;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The graph against {@link NaiveDecoder}, for every family, whole and in chunks. */
class DecoderTest {
  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(Form.class)
  void logitsAreThoseOfTheNaiveDecoderHoweverThePromptIsCut(Form form) {
    try (Checkpoint checkpoint =
            Checkpoint.open(CheckpointFixture.write(form, folder.resolve("m"), 3));
        Decoder decoder = open(checkpoint)) {
      DecoderShape shape = decoder.shape();
      BlockPool kv = shape.kvPool(16);
      int[] ids = tokens(40, shape, 1);
      float[] row = media(shape);
      double[][] expected = new NaiveDecoder(checkpoint).logits(ids, Map.of(3, row));
      List<MediaRows> media = List.of(new MediaRows(3, 1, direct(row)));

      int[] blocks = kv.tryAllocate(3).orElseThrow();
      Logits whole = decoder.step(kv, List.of(new SequenceChunk(ids, 0, blocks, media, true)));
      assertClose(whole.row(0), expected[39]);

      int[] cut = kv.tryAllocate(3).orElseThrow();
      Logits first =
          decoder.step(
              kv, List.of(new SequenceChunk(Arrays.copyOf(ids, 20), 0, cut, media, false)));
      assertThat(first.rows()).isZero();
      for (int t = 20; t < 40; t++) {
        Logits next =
            decoder.step(
                kv, List.of(new SequenceChunk(new int[] {ids[t]}, t, cut, List.of(), true)));
        assertClose(next.row(0), expected[t]);
      }
    }
  }

  /** Attention finds blocks by address: behind 2 GiB of a plane as well as before. */
  @Test
  void blocksMayLieBeyondTwoGibibytes() {
    try (Checkpoint checkpoint =
            Checkpoint.open(CheckpointFixture.write(Form.LLAMA_TIED, folder.resolve("m"), 5));
        Decoder decoder = open(checkpoint)) {
      DecoderShape shape = decoder.shape();
      int[] ids = tokens(40, shape, 1);
      BlockPool small = shape.kvPool(3);
      int[] low = small.tryAllocate(3).orElseThrow();
      float[] expected = logits(decoder, small, ids, low);

      BlockPool large = shape.kvPool((int) ((9L << 28) / shape.kvPlaneBytes()));
      assertThat(large.plane(0).byteSize()).isGreaterThan(Integer.MAX_VALUE);
      int[] all = large.tryAllocate(large.total()).orElseThrow();
      int[] high = Arrays.copyOfRange(all, all.length - 3, all.length);
      assertThat((long) high[0] * shape.kvPlaneBytes()).isGreaterThan(Integer.MAX_VALUE);
      assertThat(logits(decoder, large, ids, high)).isEqualTo(expected);
      // What was written is there.
      for (int plane = 0; plane < large.planes(); plane++) {
        assertThat(large.part(high[0], plane)).isEqualTo(small.part(low[0], plane));
      }
    }
  }

  private static float[] logits(Decoder decoder, BlockPool kv, int[] ids, int[] blocks) {
    decoder.step(
        kv, List.of(new SequenceChunk(Arrays.copyOf(ids, 20), 0, blocks, List.of(), false)));
    Logits last =
        decoder.step(
            kv,
            List.of(
                new SequenceChunk(
                    Arrays.copyOfRange(ids, 20, ids.length), 20, blocks, List.of(), true)));
    float[] row = new float[last.vocabulary()];
    last.row(0).get(row);
    return row;
  }

  @Test
  void theSecondOpeningMapsWhatTheFirstOneWrote() throws Exception {
    try (Checkpoint checkpoint =
        Checkpoint.open(CheckpointFixture.write(Form.LLAMA_TIED, folder.resolve("m"), 7))) {
      open(checkpoint).close();
      Map<Path, Object> before = entries();
      open(checkpoint).close();
      assertThat(entries()).isEqualTo(before).hasSize(2);
    }
  }

  @Test
  void aChunkThatDoesNotFitIsRefused() {
    try (Checkpoint checkpoint =
            Checkpoint.open(CheckpointFixture.write(Form.LLAMA_TIED, folder.resolve("m"), 7));
        Decoder decoder = open(checkpoint)) {
      DecoderShape shape = decoder.shape();
      BlockPool kv = shape.kvPool(16);
      int[] one = kv.tryAllocate(1).orElseThrow();
      assertThatThrownBy(() ->
              decoder.step(kv, List.of(new SequenceChunk(new int[17], 0, one, List.of(), true))))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("1 blocks do not hold 17 tokens");
      assertThatThrownBy(() ->
              decoder.step(
                  kv,
                  List.of(
                      new SequenceChunk(new int[] {shape.vocabulary()}, 0, one, List.of(), true))))
          .hasMessageContaining("outside the vocabulary");
    }
  }

  private Decoder open(Checkpoint checkpoint) {
    return new Models(checkpoint, RuntimeOptions.reference(1, folder.resolve("cache")))
        .openDecoder();
  }

  private Map<Path, Object> entries() throws Exception {
    try (Stream<Path> files = Files.walk(folder.resolve("cache"))) {
      Map<Path, Object> result = new java.util.TreeMap<>();
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        result.put(file, Files.getLastModifiedTime(file));
      }
      return result;
    }
  }

  private static int[] tokens(int count, DecoderShape shape, long seed) {
    return new Random(seed).ints(count, 0, shape.vocabulary()).toArray();
  }

  private static float[] media(DecoderShape shape) {
    float[] row = new float[shape.hiddenSize()];
    Random random = new Random(9);
    for (int i = 0; i < row.length; i++) {
      row[i] = (float) random.nextGaussian();
    }
    return row;
  }

  private static ByteBuffer direct(float[] values) {
    ByteBuffer bytes =
        ByteBuffer.allocateDirect(values.length * Float.BYTES).order(ByteOrder.nativeOrder());
    bytes.asFloatBuffer().put(values);
    return bytes;
  }

  private static void assertClose(FloatBuffer actual, double[] expected) {
    for (int i = 0; i < expected.length; i++) {
      assertThat((double) actual.get(i)).isCloseTo(expected[i], within(1e-4));
    }
  }
}
