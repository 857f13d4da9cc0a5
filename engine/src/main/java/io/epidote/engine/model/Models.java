package io.epidote.engine.model;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.LatentAttention;
import io.epidote.engine.checkpoint.TensorNames;
import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.checkpoint.VisionConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.kernel.AttentionShape;
import io.epidote.engine.kernel.KernelWarmUp;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.onnx.WeightFile;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * Opens the models of a checkpoint, one stage at a time: a node loads only what its stages need.
 */
public final class Models {
  private static final int WARM_UP_STEPS = 3;

  private final Checkpoint checkpoint;
  private final RuntimeOptions options;
  private final GraphCache cache;

  /**
   * @param checkpoint must stay open while models are being opened, not longer
   */
  public Models(Checkpoint checkpoint, RuntimeOptions options) {
    this.checkpoint = checkpoint;
    this.options = options;
    this.cache = new GraphCache(options.cache());
  }

  /**
   * Begins what opening a model would wait for and needs no checkpoint, on threads of their own:
   * loading ONNX Runtime, compiling the loops. To be called by a process that is about to open
   * models, before it reads a checkpoint; not needed otherwise.
   *
   * @param cache as models will have it
   */
  public static void prepare(boolean vision, boolean decoder, Path cache) {
    Thread.ofPlatform()
        .daemon()
        .name("engine-load")
        .start(() -> {
          var unused = LoadedGraph.loadEngine(cache);
        });
    if (decoder) {
      KernelWarmUp.ofDecoder();
    }
    if (vision) {
      KernelWarmUp.ofTower();
    }
  }

  /**
   * The encode stage's model.
   *
   * @throws BadCheckpoint when the checkpoint has no vision tower, or a tensor is missing or
   *     mis-shaped
   */
  public VisionEncoder openVision() {
    Optional<VisionConfig> config = checkpoint.config().vision();
    if (config.isEmpty()) {
      throw new BadCheckpoint(
          "%s has no vision_config: it is a text model, and no node can hold its encode stage; start nodes with --stages prefill,decode"
              .formatted(checkpoint.folder()));
    }
    CompletableFuture<Void> warmUp = KernelWarmUp.ofTower();
    Path entry = cache.entry(checkpoint, "vision", options.precision(), VisionGraph::write);
    TowerOperators operators = TowerOperators.of(config.get(), options.threads());
    LoadedGraph graph = LoadedGraph.open(entry, options, operators.all());
    warmUp.join();
    return new OnnxVisionEncoder(checkpoint.config(), operators, graph, options.precision());
  }

  /**
   * The model of prefill and decode.
   *
   * @throws BadCheckpoint when a tensor is missing or mis-shaped
   */
  public Decoder openDecoder() {
    CompletableFuture<Void> warmUp = KernelWarmUp.ofDecoder();
    TextConfig text = checkpoint.config().text();
    Path entry = cache.entry(checkpoint, "decoder", options.precision(), DecoderGraph::write);
    DecoderShape shape = decoderShape(text);
    DecoderOperators operators = DecoderOperators.of(text, shape.attention(), options);
    LoadedGraph graph = LoadedGraph.open(entry, options, operators.all());
    warmUp.join();
    AdapterLoader.Base base =
        new AdapterLoader.Base(text, TensorNames.of(checkpoint).text(), options.precision());
    Adapters adapters =
        new Adapters(
            new AdapterLoader(base, operators.slots(), options.cache()), Adapters.worker());
    Decoder decoder = new OnnxDecoder(shape, operators, graph, options.precision(), adapters);
    warmUp(decoder);
    operators.load().forget();
    return decoder;
  }

  /** The sizes of a decoder. */
  public static DecoderShape decoderShape(TextConfig text) {
    AttentionShape attention =
        text.latent().map(latent -> latentShape(text, latent)).orElseGet(() -> groupedShape(text));
    return new DecoderShape(
        text.layers(), attention, text.hiddenSize(), text.vocabulary(), text.contextTokens());
  }

  /** Every head reads the latent vector, as a part of the one key and as the one value. */
  private static AttentionShape latentShape(TextConfig text, LatentAttention latent) {
    return new AttentionShape(
        text.heads(),
        text.kvHeads(),
        latent.rank() + latent.rotaryWidth(),
        latent.rank(),
        latent.scale(),
        new RotaryTable(text.rope(), latent.rotaryWidth())
            .rotation(latent.rank(), text.contextTokens()),
        text.windows()::get);
  }

  private static AttentionShape groupedShape(TextConfig text) {
    return new AttentionShape(
        text.heads(),
        text.kvHeads(),
        text.headDim(),
        text.headDim(),
        (float) (1 / Math.sqrt(text.headDim())),
        new RotaryTable(text.rope(), text.headDim()).rotation(0, text.contextTokens()),
        text.windows()::get);
  }

  /** What the encode stage's graph takes; the checkpoint must have a vision tower. */
  public GraphPlan planVision() {
    return plan(VisionGraph::write);
  }

  /** What the graph of prefill and decode takes. */
  public GraphPlan planDecoder() {
    return plan(DecoderGraph::write);
  }

  private GraphPlan plan(GraphCache.Writer writer) {
    WeightFile weights = WeightFile.plan(GraphCache.WEIGHTS);
    return GraphPlan.of(writer.write(checkpoint, options.precision(), weights), weights);
  }

  /** A few steps as a first request has them: each makes the JVM compile what is around kernels. */
  private static void warmUp(Decoder decoder) {
    int tokens = Math.min(DecoderShape.BLOCK_TOKENS, decoder.shape().contextTokens() / 2);
    BlockPool kv = decoder.shape().kvPool(2);
    int[] blocks = kv.tryAllocate(2).orElseThrow();
    for (int i = 0; i < WARM_UP_STEPS; i++) {
      decoder.step(kv, List.of(new SequenceChunk(new int[tokens], 0, blocks, List.of(), false)));
      decoder.step(kv, List.of(new SequenceChunk(new int[1], tokens, blocks, List.of(), true)));
    }
  }
}
