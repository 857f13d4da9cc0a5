package io.epidote.engine.reference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Models;
import io.epidote.engine.model.RuntimeOptions;
import io.epidote.engine.model.SequenceChunk;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.IntStream;
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
      List<double[]> answer = answer(decoder, golden);
      for (Golden.Step step : golden.steps()) {
        double[] row = answer.get(step.step());
        List<Integer> best = best(row, 5);
        for (int i = 0; i < 5; i++) {
          // Both by token and by rank: two tokens that are as good as equal may change places.
          double expected = step.logProbabilities().get(i);
          assertThat(row[step.tokens().get(i)])
              .as("step %d, token %d", step.step(), step.tokens().get(i))
              .isCloseTo(expected, within(2e-2));
          assertThat(row[best.get(i)])
              .as("step %d, rank %d", step.step(), i)
              .isCloseTo(expected, within(2e-2));
        }
      }
      assertThat(answer.stream().map(row -> best(row, 1).getFirst())).isEqualTo(golden.greedy());
    }
  }

  /** Log-probabilities of every step, each run on the decoder's own most likely token. */
  private static List<double[]> answer(Decoder decoder, Golden golden) {
    int[] prompt = golden.prompt().stream().mapToInt(id -> id).toArray();
    int tokens = prompt.length + golden.greedy().size();
    BlockPool kv = decoder.shape().kvPool(DecoderShape.blocksFor(tokens) + 1);
    // Blocks that are not in a row, so that a mistaken block table shows.
    int[] blocks = kv.tryAllocate(DecoderShape.blocksFor(tokens)).orElseThrow();
    for (int i = 0; i < blocks.length / 2; i++) {
      int other = blocks.length - 1 - i;
      int block = blocks[i];
      blocks[i] = blocks[other];
      blocks[other] = block;
    }
    List<double[]> rows = new ArrayList<>();
    int[] next = prompt;
    int past = 0;
    while (rows.size() < golden.greedy().size()) {
      FloatBuffer logits =
          decoder.step(kv, List.of(new SequenceChunk(next, past, blocks, List.of(), true))).row(0);
      rows.add(logProbabilities(logits));
      past += next.length;
      next = new int[] {best(rows.getLast(), 1).getFirst()};
    }
    return rows;
  }

  private static double[] logProbabilities(FloatBuffer logits) {
    double[] row = new double[logits.remaining()];
    double sum = 0;
    for (int i = 0; i < row.length; i++) {
      row[i] = logits.get(i);
      sum += Math.exp(row[i]);
    }
    for (int i = 0; i < row.length; i++) {
      row[i] -= Math.log(sum);
    }
    return row;
  }

  private static List<Integer> best(double[] row, int count) {
    return IntStream.range(0, row.length)
        .boxed()
        .sorted((a, b) -> Double.compare(row[b], row[a]))
        .limit(count)
        .toList();
  }

  private static String sha256(Path file) throws IOException, NoSuchAlgorithmException {
    return HexFormat.of()
        .formatHex(MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file)));
  }
}
