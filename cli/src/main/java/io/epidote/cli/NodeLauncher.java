package io.epidote.cli;

import io.epidote.decode.DecodeConfig;
import io.epidote.decode.DecodeStage;
import io.epidote.encode.EmulatedTiles;
import io.epidote.encode.EncodeStage;
import io.epidote.encode.ModelTiles;
import io.epidote.encode.TileSource;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.emulated.EmulatedModels;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.image.ImageLimits;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.memory.MediaCache;
import io.epidote.engine.memory.MediaKeys;
import io.epidote.engine.model.Adapters;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.Models;
import io.epidote.engine.model.Precision;
import io.epidote.engine.model.VisionEncoder;
import io.epidote.engine.sampling.BatchSampler;
import io.epidote.node.BuildInfo;
import io.epidote.node.NodeConfig;
import io.epidote.node.NodeContext;
import io.epidote.node.NodeRuntime;
import io.epidote.node.Role;
import io.epidote.node.RoleFactory;
import io.epidote.node.Stage;
import io.epidote.node.discovery.ClusterView;
import io.epidote.node.discovery.StaticView;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.kv.KvMemory;
import io.epidote.node.trace.Tracing;
import io.epidote.prefill.PrefillConfig;
import io.epidote.prefill.PrefillStage;
import io.micrometer.core.instrument.MeterRegistry;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Puts a node together: the models, pools and stages that its stages need, and nothing more. */
final class NodeLauncher {
  private NodeLauncher() {}

  /**
   * What a node is started with.
   *
   * @param bindHost address to listen on
   * @param advertisedHost host under which others reach this node
   * @param port 0 for any free one
   * @param routers host:port of each, where host is what the view looks for
   * @param view how routers are found
   * @param options what it may use
   */
  record Settings(
      NodeSpec spec,
      Path model,
      String bindHost,
      String advertisedHost,
      int port,
      List<String> routers,
      ClusterView view,
      NodeOptions options) {
    /** A node that is told every router. */
    Settings(
        NodeSpec spec,
        Path model,
        String bindHost,
        String advertisedHost,
        int port,
        List<String> routers,
        NodeOptions options) {
      this(spec, model, bindHost, advertisedHost, port, routers, new StaticView(), options);
    }

    /** A node with other stages. */
    private Settings with(Set<io.epidote.proto.v1.Stage> stages) {
      return new Settings(
          new NodeSpec(spec.name(), stages),
          model,
          bindHost,
          advertisedHost,
          port,
          routers,
          view,
          options);
    }
  }

  /** Loads the models of the node's stages and starts to serve. The caller closes the node. */
  static NodeRuntime start(Settings settings, MeterRegistry meters) {
    Set<io.epidote.proto.v1.Stage> kinds = settings.spec().stages();
    if (settings.options().emulation.device().isEmpty()) {
      Models.prepare(
          kinds.contains(io.epidote.proto.v1.Stage.STAGE_ENCODE),
          !kinds.equals(Set.of(io.epidote.proto.v1.Stage.STAGE_ENCODE)),
          Home.cache());
    }
    try (Checkpoint checkpoint = Checkpoint.open(settings.model(), Home.cache())) {
      NodeConfig config =
          NodeConfig.of(
                  settings.spec().name(),
                  checkpoint.name(),
                  checkpoint.fingerprint(),
                  BuildInfo.VERSION)
              .listen(settings.bindHost(), settings.advertisedHost(), settings.port())
              .routers(settings.routers())
              .limits(settings.options().limits())
              .transfer(settings.options().transfer())
              .sharing(settings.options().sharing())
              .view(settings.view())
              .tls(settings.options().tls.server())
              .build();
      NodeRuntime node =
          new NodeRuntime(
              config,
              meters,
              Tracing.start(
                  settings.options().tracing.tracing(),
                  "node",
                  settings.spec().name(),
                  BuildInfo.VERSION));
      Roles roles = new Roles(settings);
      Role first;
      try {
        first = make(settings, checkpoint, node.context(), kinds, settings.options().adapters);
      } catch (RuntimeException e) {
        node.close();
        throw e;
      }
      node.start(
          first,
          Optional.of(roles),
          new NodeRuntime.AdapterSource(
              settings.options().roots.roots(settings.model(), Optional.empty()),
              settings.options().adapters));
      return node;
    }
  }

  /** What the node may become: other stages with the same options. */
  private record Roles(Settings settings) implements RoleFactory {
    @Override
    public Role make(
        NodeContext node,
        Set<io.epidote.proto.v1.Stage> stages,
        Set<io.epidote.proto.v1.Stage> made,
        Map<String, Path> adapters) {
      try (Checkpoint checkpoint = Checkpoint.open(settings.model(), Home.cache())) {
        return NodeLauncher.make(settings.with(stages), checkpoint, node, made, adapters);
      }
    }

    @Override
    public long bytes(Set<io.epidote.proto.v1.Stage> stages) {
      try (Checkpoint checkpoint = Checkpoint.open(settings.model(), Home.cache())) {
        return NodeLauncher.bytes(settings.with(stages), checkpoint);
      }
    }
  }

  private static Role make(
      Settings settings,
      Checkpoint checkpoint,
      NodeContext node,
      Set<io.epidote.proto.v1.Stage> made,
      Map<String, Path> folders) {
    List<Stage> stages = new ArrayList<>();
    List<AutoCloseable> models = new ArrayList<>();
    try {
      addStages(settings, checkpoint, node, made, stages, models);
      Optional<Adapters> adapters =
          models.stream()
              .filter(Decoder.class::isInstance)
              .map(model -> ((Decoder) model).adapters())
              .findFirst();
      adapters.ifPresent(all -> {
        settings.options().tiers.apply(all.tiers());
        folders.forEach((name, folder) -> all.load(name, folder, false));
      });
      return new Role(node, stages, models, adapters);
    } catch (RuntimeException | Error e) {
      closeAll(models, e);
      throw e;
    }
  }

  /** Weights and pools of these stages, and swap space. */
  private static long bytes(Settings settings, Checkpoint checkpoint) {
    NodeOptions options = settings.options();
    Set<io.epidote.proto.v1.Stage> kinds = settings.spec().stages();
    boolean emulated = emulated(options, checkpoint).isPresent();
    boolean encodes = kinds.contains(io.epidote.proto.v1.Stage.STAGE_ENCODE);
    boolean prefills = kinds.contains(io.epidote.proto.v1.Stage.STAGE_PREFILL);
    boolean decodes = kinds.contains(io.epidote.proto.v1.Stage.STAGE_DECODE);
    long bytes = 0;
    if (prefills || decodes) {
      bytes += options.kvCache(kinds).value() + options.kvSwap.value();
      if (!emulated) {
        bytes +=
            new Models(checkpoint, options.runtime(options.precisions.decoder(kinds)))
                .planDecoder()
                .memoryBytes(!options.noPrepack);
      }
    }
    if (prefills) {
      bytes += options.mediaTokens(kinds).value();
    }
    if (encodes) {
      bytes += options.mediaTokens(kinds).value() + 2 * options.mediaFileBytes();
      if (!emulated && checkpoint.config().vision().isPresent()) {
        bytes +=
            new Models(checkpoint, options.runtime(options.precisions.encode()))
                .planVision()
                .memoryBytes(!options.noPrepack);
      }
    }
    return bytes;
  }

  private static void addStages(
      Settings settings,
      Checkpoint checkpoint,
      NodeContext node,
      Set<io.epidote.proto.v1.Stage> made,
      List<Stage> stages,
      List<AutoCloseable> models) {
    Set<io.epidote.proto.v1.Stage> kinds = settings.spec().stages();
    boolean encodes = made.contains(io.epidote.proto.v1.Stage.STAGE_ENCODE);
    boolean prefills = made.contains(io.epidote.proto.v1.Stage.STAGE_PREFILL);
    boolean decodes = made.contains(io.epidote.proto.v1.Stage.STAGE_DECODE);
    ModelConfig config = checkpoint.config();
    NodeOptions options = settings.options();
    // Decode has the first turn of a round, so that tokens keep flowing.
    if (prefills || decodes) {
      Decoder decoder = openDecoder(settings, checkpoint);
      models.add(decoder);
      BatchSampler sampler = new BatchSampler(options.threads);
      models.add(sampler);
      int kvBlockBytes = decoder.shape().kvBlockBytes();
      int kvBlocks = blocks("kv", "--kv-cache", options.kvCache(kinds), kvBlockBytes);
      KvMemory kv =
          new KvMemory(
              decoder.shape().kvPool(kvBlocks),
              (int) Math.min(options.kvSwap.value() / kvBlockBytes, Integer.MAX_VALUE),
              !options.noPrefixCache);
      if (decodes) {
        stages.add(
            new DecodeStage(
                node,
                decoder,
                sampler,
                kv,
                new DecodeConfig(
                    config.eosTokenIds(),
                    options.decodeBatch(),
                    options.kvWire,
                    options.decodeOrder())));
      }
      if (prefills) {
        // A text model has no media tokens; one block keeps the pool in form.
        int tileBytes = Math.max(1, config.tileTokens()) * config.text().hiddenSize() * Float.BYTES;
        stages.add(
            new PrefillStage(
                node,
                decoder,
                sampler,
                kv,
                new BlockQueue(mediaPool(settings, tileBytes)),
                PrefillConfig.of(
                        config.eosTokenIds(),
                        decodes,
                        checkpoint.fingerprint() + " " + decoder.precision())
                    .withTokenBudget(options.prefillStep())
                    .withOrder(options.prefillOrder(), options.batchPlan)));
      }
    }
    if (encodes) {
      VisionEncoder encoder = openVision(options, checkpoint);
      models.add(encoder);
      BlockPool media = mediaPool(settings, encoder.tileBytes());
      stages.add(
          new EncodeStage(
              node,
              encoder,
              tiles(options, checkpoint),
              new BlockQueue(media),
              options.noMediaCache ? Optional.empty() : Optional.of(new MediaCache(media)),
              new MediaKeys(checkpoint.fingerprint() + " " + encoder.precision()),
              options.mediaFileBytes(),
              options.encodeOrder()));
    }
  }

  private static Decoder openDecoder(Settings settings, Checkpoint checkpoint) {
    NodeOptions options = settings.options();
    Optional<EmulatedModels> emulated = emulated(options, checkpoint);
    if (emulated.isPresent()) {
      return emulated.get().openDecoder();
    }
    Precision precision = options.precisions.decoder(settings.spec().stages());
    return new Models(checkpoint, options.runtime(precision)).openDecoder();
  }

  private static VisionEncoder openVision(NodeOptions options, Checkpoint checkpoint) {
    return emulated(options, checkpoint)
        .map(EmulatedModels::openVision)
        .orElseGet(() ->
            new Models(checkpoint, options.runtime(options.precisions.encode())).openVision());
  }

  private static Optional<EmulatedModels> emulated(NodeOptions options, Checkpoint checkpoint) {
    return options
        .emulation
        .device()
        .map(device -> new EmulatedModels(checkpoint.config(), device, options.emulation.audit));
  }

  private static TileSource tiles(NodeOptions options, Checkpoint checkpoint) {
    return options
        .emulation
        .device()
        .filter(device -> device.pictureMs().isPresent())
        .<TileSource>map(EmulatedTiles::new)
        .orElseGet(() ->
            ModelTiles.open(
                checkpoint.folder(),
                checkpoint.config(),
                ImageLimits.defaults(),
                options.mediaFileBytes()));
  }

  private static BlockPool mediaPool(Settings settings, int blockBytes) {
    Bytes size = settings.options().mediaTokens(settings.spec().stages());
    int blocks = blocks("media", "Half of --media-cache,", size, blockBytes);
    return new BlockPool("media", blockBytes, blocks);
  }

  private static int blocks(String name, String option, Bytes size, int blockBytes) {
    long blocks = size.value() / blockBytes;
    if (blocks < 1 || blocks > Integer.MAX_VALUE) {
      throw new InvalidRequest(
          "%s %s does not work: this model's %s blocks have %s, and a pool holds at least one of them and at most %d"
              .formatted(
                  option,
                  Bytes.words(size.value()),
                  name,
                  Bytes.words(blockBytes),
                  Integer.MAX_VALUE));
    }
    return (int) blocks;
  }

  private static void closeAll(List<AutoCloseable> models, Throwable cause) {
    for (AutoCloseable model : models) {
      try {
        model.close();
      } catch (Exception e) {
        cause.addSuppressed(e);
      }
    }
  }
}
