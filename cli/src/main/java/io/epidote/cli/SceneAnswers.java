package io.epidote.cli;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.image.ImageLimits;
import io.epidote.engine.image.ImageProcessor;
import io.epidote.engine.image.TilePlan;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Logits;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.model.VisionEncoder;
import io.epidote.engine.sampling.Sampler;
import io.epidote.engine.sampling.SamplingOptions;
import io.epidote.engine.text.ChatTemplate;
import io.epidote.engine.text.ChatTurn;
import io.epidote.engine.text.Detokenizer;
import io.epidote.engine.text.Part;
import io.epidote.engine.text.Prompt;
import io.epidote.engine.text.PromptBuilder;
import io.epidote.engine.text.Span;
import io.epidote.engine.text.Tokenizer;
import io.epidote.scenes.Task;
import java.awt.image.BufferedImage;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Greedy answers about pictures from models in this process, without network or scheduler. */
final class SceneAnswers implements AutoCloseable {
  private static final SamplingOptions GREEDY = new SamplingOptions(64, 0, 1, 0, 0, false, -1);

  private final Tokenizer tokenizer;
  private final ChatTemplate template;
  private final ImageProcessor images;
  private final PromptBuilder prompts;
  private final Set<Integer> endTokens;
  private final Sampler sampler = new Sampler();

  SceneAnswers(Checkpoint checkpoint) {
    this.tokenizer = Tokenizer.open(checkpoint.folder());
    this.template = ChatTemplate.open(checkpoint.folder());
    this.images =
        ImageProcessor.open(checkpoint.folder(), checkpoint.config(), ImageLimits.defaults());
    this.prompts = PromptBuilder.open(checkpoint.folder(), checkpoint.config(), tokenizer);
    this.endTokens = checkpoint.config().eosTokenIds();
  }

  /**
   * The answer's text.
   *
   * @param kv blocks for one sequence
   */
  String answer(Task task, VisionEncoder vision, Decoder decoder, BlockPool kv) {
    List<TilePlan> plans = new ArrayList<>();
    List<Part> parts = new ArrayList<>();
    List<FloatBuffer> tiles = new ArrayList<>();
    for (BufferedImage picture : task.pictures()) {
      plans.add(images.plan(picture.getWidth(), picture.getHeight()));
      parts.add(new Part.Image());
      tiles.addAll(images.tiles(ByteBuffer.wrap(EvalCommand.png(picture))));
    }
    parts.add(new Part.Text(task.question()));
    Prompt prompt =
        prompts.build(template.render(List.of(new ChatTurn("user", parts)), true), plans);
    int length = prompt.tokenIds().length;
    int[] blocks =
        kv.tryAllocate(DecoderShape.blocksFor(length + GREEDY.maxTokens())).orElseThrow();
    try {
      SequenceChunk chunk =
          new SequenceChunk(
              prompt.tokenIds(), 0, blocks, media(prompt.spans(), tiles, vision), true);
      Detokenizer text = tokenizer.newDetokenizer();
      StringBuilder answer = new StringBuilder();
      for (int position = length; position < length + GREEDY.maxTokens(); position++) {
        Logits logits = decoder.step(kv, List.of(chunk));
        int token = sampler.sample(logits.row(0), GREEDY, position).tokenId();
        if (endTokens.contains(token)) {
          break;
        }
        answer.append(text.append(token));
        chunk = new SequenceChunk(new int[] {token}, position, blocks, List.of(), true);
      }
      return answer.append(text.flush()).toString().strip();
    } finally {
      kv.release(blocks);
    }
  }

  private static List<SequenceChunk.MediaRows> media(
      List<Span> spans, List<FloatBuffer> tiles, VisionEncoder vision) {
    List<ByteBuffer> rows = new ArrayList<>();
    for (int first = 0; first < tiles.size(); first += vision.maxBatch()) {
      List<FloatBuffer> batch =
          tiles.subList(first, Math.min(first + vision.maxBatch(), tiles.size()));
      List<ByteBuffer> outputs =
          batch.stream()
              .map(tile ->
                  ByteBuffer.allocateDirect(vision.tileBytes()).order(ByteOrder.nativeOrder()))
              .toList();
      vision.encode(batch, outputs);
      rows.addAll(outputs);
    }
    List<SequenceChunk.MediaRows> media = new ArrayList<>();
    for (int i = 0; i < spans.size(); i++) {
      media.add(
          new SequenceChunk.MediaRows(spans.get(i).position(), spans.get(i).tokens(), rows.get(i)));
    }
    return media;
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
