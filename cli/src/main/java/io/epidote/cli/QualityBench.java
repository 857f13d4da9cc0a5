package io.epidote.cli;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Logits;
import io.epidote.engine.model.Models;
import io.epidote.engine.model.Precision;
import io.epidote.engine.model.RuntimeOptions;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.model.VisionEncoder;
import io.epidote.scenes.SceneSet;
import io.epidote.scenes.Task;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/** What a precision costs in quality, against fp32 of the same weights in the same process. */
final class QualityBench {
  private static final int SEQUENCES = 8;

  private final Checkpoint checkpoint;
  private final RuntimeOptions runtime;
  private final Progress progress;

  /**
   * @param runtime at the precision that is measured
   */
  QualityBench(Checkpoint checkpoint, RuntimeOptions runtime, Progress progress) {
    this.checkpoint = checkpoint;
    this.runtime = runtime;
    this.progress = progress;
  }

  private Models models(Precision precision) {
    return new Models(
        checkpoint,
        new RuntimeOptions(runtime.threads(), precision, runtime.cache(), runtime.prepack()));
  }

  /** How many times smaller than fp32's the weights of all stages are. */
  double sizeRatio() {
    return (double) weightBytes(Precision.FP32) / weightBytes(runtime.precision());
  }

  private long weightBytes(Precision precision) {
    Models models = models(precision);
    long vision = checkpoint.config().vision().isEmpty() ? 0 : models.planVision().fileBytes();
    return vision + models.planDecoder().fileBytes();
  }

  /**
   * Answers about scenes.
   *
   * @param exactFp32 right ones at fp32
   * @param exact right ones at the precision
   * @param same answers that are the same at both
   */
  record Scenes(int questions, int exactFp32, int exact, int same) {
    double qualityRatio() {
      return (double) exact / exactFp32;
    }
  }

  Scenes scenes(long seed, int questions) {
    List<Task> tasks = SceneSet.heldOut(seed).limit(questions).toList();
    List<String> reference = answers(Precision.FP32, tasks);
    List<String> answers = answers(runtime.precision(), tasks);
    int exactFp32 = 0;
    int exact = 0;
    int same = 0;
    for (int i = 0; i < questions; i++) {
      String right = tasks.get(i).answer();
      exactFp32 += reference.get(i).equals(right) ? 1 : 0;
      exact += answers.get(i).equals(right) ? 1 : 0;
      same += answers.get(i).equals(reference.get(i)) ? 1 : 0;
    }
    return new Scenes(questions, exactFp32, exact, same);
  }

  private List<String> answers(Precision precision, List<Task> tasks) {
    List<String> answers = new ArrayList<>();
    try (SceneAnswers scenes = new SceneAnswers(checkpoint);
        VisionEncoder vision = models(precision).openVision();
        Decoder decoder = models(precision).openDecoder()) {
      BlockPool kv =
          decoder.shape().kvPool(DecoderShape.blocksFor(decoder.shape().contextTokens()) + 1);
      for (Task task : tasks) {
        progress.update("%s: %d of %d".formatted(precision.word(), answers.size(), tasks.size()));
        answers.add(scenes.answer(task, vision, decoder, kv));
      }
    }
    return answers;
  }

  /**
   * Next-token distributions on random text.
   *
   * @param klMean Kullback-Leibler divergence from fp32's, nats
   * @param klP99 which one in a hundred is above
   * @param top1Agreement share of distributions whose likeliest token is the same
   */
  record Text(int distributions, double klMean, double klP99, double top1Agreement) {
    /** 1 for the same distributions, less the more of what fp32 says is lost. */
    double qualityRatio() {
      return Math.exp(-klMean);
    }
  }

  Text text(long seed, int distributions) {
    int steps = Math.ceilDiv(distributions, SEQUENCES);
    double[] divergences = new double[steps * SEQUENCES];
    int agreed = 0;
    SplittableRandom random = new SplittableRandom(seed);
    try (Decoder reference = models(Precision.FP32).openDecoder();
        Decoder measured = models(runtime.precision()).openDecoder()) {
      int blocks = SEQUENCES * DecoderShape.blocksFor(steps);
      BlockPool referenceKv = reference.shape().kvPool(blocks);
      BlockPool measuredKv = measured.shape().kvPool(blocks);
      int[] referenceBlocks = referenceKv.tryAllocate(blocks).orElseThrow();
      int[] measuredBlocks = measuredKv.tryAllocate(blocks).orElseThrow();
      for (int step = 0; step < steps; step++) {
        progress.update("%d of %d tokens".formatted(step * SEQUENCES, steps * SEQUENCES));
        int[] tokens = random.ints(SEQUENCES, 0, reference.shape().vocabulary()).toArray();
        Logits expected = reference.step(referenceKv, chunks(tokens, step, referenceBlocks));
        Logits actual = measured.step(measuredKv, chunks(tokens, step, measuredBlocks));
        for (int sequence = 0; sequence < SEQUENCES; sequence++) {
          divergences[step * SEQUENCES + sequence] =
              divergence(expected.row(sequence), actual.row(sequence));
          agreed += likeliest(expected.row(sequence)) == likeliest(actual.row(sequence)) ? 1 : 0;
        }
      }
    }
    double[] sorted = Arrays.stream(divergences).sorted().toArray();
    return new Text(
        sorted.length,
        Arrays.stream(sorted).average().orElseThrow(),
        sorted[Math.min(sorted.length - 1, sorted.length * 99 / 100)],
        (double) agreed / sorted.length);
  }

  /** The next token of each sequence. */
  private static List<SequenceChunk> chunks(int[] tokens, int past, int[] blocks) {
    int each = blocks.length / tokens.length;
    List<SequenceChunk> chunks = new ArrayList<>();
    for (int sequence = 0; sequence < tokens.length; sequence++) {
      chunks.add(
          new SequenceChunk(
              new int[] {tokens[sequence]},
              past,
              Arrays.copyOfRange(blocks, sequence * each, (sequence + 1) * each),
              List.of(),
              true));
    }
    return chunks;
  }

  /** Sum of p (log p - log q), where p and q are the softmax of two rows of logits. */
  static double divergence(FloatBuffer expected, FloatBuffer actual) {
    double expectedLogSum = logSum(expected);
    double actualLogSum = logSum(actual);
    double sum = 0;
    for (int i = 0; i < expected.limit(); i++) {
      double logP = expected.get(i) - expectedLogSum;
      sum += Math.exp(logP) * (logP - (actual.get(i) - actualLogSum));
    }
    return sum;
  }

  private static double logSum(FloatBuffer logits) {
    float largest = logits.get(likeliest(logits));
    double sum = 0;
    for (int i = 0; i < logits.limit(); i++) {
      sum += Math.exp(logits.get(i) - largest);
    }
    return largest + Math.log(sum);
  }

  private static int likeliest(FloatBuffer logits) {
    int best = 0;
    for (int i = 1; i < logits.limit(); i++) {
      best = logits.get(i) > logits.get(best) ? i : best;
    }
    return best;
  }
}
