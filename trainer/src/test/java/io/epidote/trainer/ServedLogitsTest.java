package io.epidote.trainer;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.image.ImageLimits;
import io.epidote.engine.image.ImageProcessor;
import io.epidote.engine.image.TilePlan;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Logits;
import io.epidote.engine.model.Models;
import io.epidote.engine.model.RuntimeOptions;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.model.SequenceChunk.MediaRows;
import io.epidote.engine.model.VisionEncoder;
import io.epidote.engine.text.ChatTemplate;
import io.epidote.engine.text.ChatTurn;
import io.epidote.engine.text.Part;
import io.epidote.engine.text.Prompt;
import io.epidote.engine.text.PromptBuilder;
import io.epidote.engine.text.Span;
import io.epidote.engine.text.Tokenizer;
import io.epidote.scenes.SceneSet;
import io.epidote.scenes.Task;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What is served (tokenizer, preprocessing, ONNX graphs, KV blocks) against PyTorch's forward pass
 * of the same weights, over pictures that the training never saw.
 */
class ServedLogitsTest {
  private static final Path MODEL = Path.of("..", "models", "scenes");
  private static final int QUESTIONS = 42;
  private static final int ANSWER_TOKENS = 6;

  @TempDir Path cache;

  @Test
  void logitsOfThePromptAndOfEveryAnswerTokenAreWithinAThousandth() throws Exception {
    float worst = 0;
    int compared = 0;
    try (Checkpoint checkpoint = Checkpoint.open(MODEL);
        Tokenizer tokenizer = Tokenizer.open(MODEL);
        ReferenceModel reference = new ReferenceModel(MODEL);
        VisionEncoder vision = models(checkpoint).openVision();
        Decoder decoder = models(checkpoint).openDecoder()) {
      ImageProcessor images =
          ImageProcessor.open(MODEL, checkpoint.config(), ImageLimits.defaults());
      PromptBuilder prompts = PromptBuilder.open(MODEL, checkpoint.config(), tokenizer);
      ChatTemplate template = ChatTemplate.open(MODEL);
      BlockPool kv = decoder.shape().kvPool(64);
      for (Task task : SceneSet.heldOut(3).limit(QUESTIONS).toList()) {
        List<TilePlan> plans = new ArrayList<>();
        List<Part> parts = new ArrayList<>();
        List<FloatBuffer> tiles = new ArrayList<>();
        for (BufferedImage picture : task.pictures()) {
          plans.add(images.plan(picture.getWidth(), picture.getHeight()));
          parts.add(new Part.Image());
          tiles.addAll(images.tiles(png(picture)));
        }
        parts.add(new Part.Text(task.question()));
        Prompt prompt =
            prompts.build(template.render(List.of(new ChatTurn("user", parts)), true), plans);

        List<ByteBuffer> tokens = new ArrayList<>();
        tiles.forEach(tile ->
            tokens.add(
                ByteBuffer.allocateDirect(vision.tileBytes()).order(ByteOrder.nativeOrder())));
        vision.encode(tiles, tokens);
        List<MediaRows> media = new ArrayList<>();
        for (int i = 0; i < prompt.spans().size(); i++) {
          Span span = prompt.spans().get(i);
          media.add(new MediaRows(span.position(), span.tokens(), tokens.get(i)));
        }

        int[] ids = Arrays.copyOf(prompt.tokenIds(), prompt.tokenIds().length + ANSWER_TOKENS);
        int length = prompt.tokenIds().length;
        int[] blocks = kv.tryAllocate(DecoderShape.blocksFor(ids.length)).orElseThrow();
        Logits logits =
            decoder.step(kv, List.of(new SequenceChunk(prompt.tokenIds(), 0, blocks, media, true)));
        List<float[]> served = new ArrayList<>();
        for (int i = 0; i < ANSWER_TOKENS; i++) {
          float[] row = new float[logits.vocabulary()];
          logits.row(0).get(row);
          served.add(row);
          ids[length + i] = argmax(row);
          logits =
              decoder.step(
                  kv,
                  List.of(
                      new SequenceChunk(
                          new int[] {ids[length + i]}, length + i, blocks, List.of(), true)));
        }
        kv.release(blocks);

        float[][] expected =
            reference.logits(
                Arrays.stream(ids).asLongStream().toArray(),
                tiles.stream().map(ServedLogitsTest::array).toArray(float[][]::new));
        for (int i = 0; i < ANSWER_TOKENS; i++) {
          float[] row = expected[length + i - 1];
          for (int token = 0; token < row.length; token++) {
            worst = Math.max(worst, Math.abs(row[token] - served.get(i)[token]));
            compared++;
          }
        }
      }
    }
    assertThat(compared).isGreaterThan(QUESTIONS * ANSWER_TOKENS * 100);
    assertThat(worst).isLessThan(1e-3f);
  }

  private Models models(Checkpoint checkpoint) {
    return new Models(checkpoint, RuntimeOptions.reference(1, cache));
  }

  private static byte[] png(BufferedImage picture) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    ImageIO.write(picture, "png", bytes);
    return bytes.toByteArray();
  }

  private static float[] array(FloatBuffer tile) {
    float[] values = new float[tile.remaining()];
    tile.duplicate().get(values);
    return values;
  }

  private static int argmax(float[] row) {
    int best = 0;
    for (int i = 1; i < row.length; i++) {
      best = row[i] > row[best] ? i : best;
    }
    return best;
  }
}
