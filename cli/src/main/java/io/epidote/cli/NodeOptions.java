package io.epidote.cli;

import io.epidote.cli.EmulationOptions.Room;
import io.epidote.cli.load.TimeText;
import io.epidote.decode.DecodeConfig;
import io.epidote.decode.KvWire;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Precision;
import io.epidote.engine.model.RuntimeOptions;
import io.epidote.node.NodeConfig;
import io.epidote.node.engine.QueueOrder;
import io.epidote.node.transfer.TransferOptions;
import io.epidote.proto.v1.Stage;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** What a node may use. */
final class NodeOptions {
  /** KV blocks of a node of which nothing else is said. */
  static final Bytes KV = new Bytes(64 << 20);

  private static final Bytes MEDIA = new Bytes(256 << 20);

  @Option(
      names = "--kv-cache",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description =
          "KV blocks of a prefill or decode node. Default: 64MiB, or what a cost profile's device has room for.")
  @Nullable Bytes kvCache;

  @Option(
      names = "--kv-swap",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description =
          "Memory beside --kv-cache for answers that have to wait for room there; 0B: none ever has to, and fewer run at a time. Default: 64MiB.")
  Bytes kvSwap = new Bytes(64 << 20);

  @Option(
      names = "--no-prefix-cache",
      description = "Compute every prompt from its first token, even if one before began alike.")
  boolean noPrefixCache;

  @Option(
      names = "--media-cache",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description =
          "What a node has of media. Half of it is for media tokens: those in use, and on an encode node those of pictures that may come again. On an encode node a quarter is for files, beyond which requests are refused, and a quarter for pictures that are being decoded, which wait for room. Default: 256MiB, of which a cost profile's device takes what it has room for in place of the first half.")
  @Nullable Bytes mediaCache;

  @Option(
      names = "--no-media-cache",
      description = "Encode every picture, even if the same one was encoded before.")
  boolean noMediaCache;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads of a node's model. Default: ${DEFAULT-VALUE}.")
  int threads = 1;

  @Option(
      names = "--precision",
      paramLabel = "P",
      converter = StagePrecisions.Converter.class,
      description = {
        "Weights of linear layers: fp32, int8 or int4; or by stage, for example encode=fp32,prefill=int8,decode=int4. int8 and int4 may change answers. Default: fp32."
      })
  StagePrecisions precisions = StagePrecisions.all(Precision.FP32);

  @Option(
      names = "--order",
      paramLabel = "ORDER",
      converter = StageOrders.Converter.class,
      description = {
        "Whose turn it is: fcfs (first come, first served), sjf (shortest first) or slack (by what is left until the SLO); or by stage, for example encode=sjf,prefill=slack. Default: fcfs.",
        "Who has waited for --order-patience goes first in any order."
      })
  StageOrders orders = StageOrders.FCFS;

  @Option(
      names = "--order-patience",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description =
          "How long a request may be overtaken in orders other than fcfs. By slack, requests that are late already go first again after this time, so that a long one has more requests meet their targets when there are too many. Default: 10s.")
  Duration orderPatience = QueueOrder.PATIENCE;

  @Option(
      names = "--prefill-step",
      paramLabel = "TOKENS",
      description =
          "Prompt tokens that are computed at a time, of all prompts together. Default: ${DEFAULT-VALUE}.")
  int prefillStep = 2048;

  @Option(
      names = "--decode-batch",
      paramLabel = "N",
      description = "Answers that get a token at a time. Default: ${DEFAULT-VALUE}.")
  int decodeBatch = DecodeConfig.MAX_BATCH;

  @Option(
      names = "--batch-plan",
      description =
          "Compute fewer prompts at a time than fit --prefill-step where, by what was measured while serving, their first tokens would come earlier on average.")
  boolean batchPlan;

  @Option(
      names = "--adapter",
      paramLabel = "NAME=DIR",
      description = {
        "An adapter of the model, ESFT or LoRA, which requests name as MODEL:NAME. Repeat for several; 'epidote adapter' loads and unloads while the node runs."
      })
  Map<String, Path> adapters = new TreeMap<>();

  @Mixin AdapterTierOptions tiers = new AdapterTierOptions();

  @Option(
      names = "--max-adapters-per-batch",
      paramLabel = "N",
      description =
          "Distinct adapters in a step of prefill or decode, at the most; the others take turns with them. Default: any number.")
  @Nullable Integer maxAdaptersPerBatch;

  @Mixin TenantOptions tenants = new TenantOptions();
  @Mixin TlsOptions tls = new TlsOptions();
  @Mixin AdapterRootOptions roots = new AdapterRootOptions();

  @Option(
      names = "--no-prepack",
      description =
          "Leave weights mapped and shared by all processes instead of copying them into each in the kernels' order: less memory, several times slower.")
  boolean noPrepack;

  @Mixin EmulationOptions emulation = new EmulationOptions();
  @Mixin TracingOptions tracing = new TracingOptions();
  @Mixin LogOptions logs = new LogOptions();

  @Option(
      names = "--transfer-chunk",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description = "What a node pulls at a time, 256KiB to 4MiB. Default: 1MiB.")
  Bytes transferChunk = new Bytes(TransferOptions.DEFAULT_CHUNK_BYTES);

  @Option(
      names = "--kv-wire",
      paramLabel = "FORM",
      converter = KvWireConverter.class,
      description =
          "How a decode node has KV blocks sent by other nodes: exact, or int8, a quarter of the bytes, which may change answers. Default: exact.")
  KvWire kvWire = KvWire.EXACT;

  static final class KvWireConverter implements ITypeConverter<KvWire> {
    @Override
    public KvWire convert(String text) {
      return KvWire.parse(text);
    }
  }

  @Option(
      names = "--no-transfer-checksum",
      description = "Do not check what was pulled; TCP's own checksum is weak.")
  boolean noTransferChecksum;

  @Option(
      names = "--drain",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description =
          "How long a node that is stopped waits for running requests; then routers take them elsewhere. Default: 5s.")
  Duration drain = NodeConfig.Limits.defaults().drain();

  @Option(
      names = "--watchdog",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description =
          "How long a step of the model may take before the node reports that it is stuck, and routers go elsewhere; 0s: for ever. Default: 120s.")
  Duration watchdog = NodeConfig.Limits.defaults().watchdog();

  @Option(
      names = "--no-unix-sockets",
      description = "Pull over TCP even from nodes of the same machine.")
  boolean noUnixSockets;

  /** KV blocks of a node of these stages. */
  Bytes kvCache(Set<Stage> stages) {
    return kvCache != null ? kvCache : emulation.room(stages).map(Room::kv).orElse(KV);
  }

  /** Media tokens of each stage of such a node that has some. */
  Bytes mediaTokens(Set<Stage> stages) {
    Bytes half = new Bytes((mediaCache == null ? MEDIA : mediaCache).value() / 2);
    return mediaCache != null ? half : emulation.room(stages).map(Room::media).orElse(half);
  }

  /** Bytes of files, and likewise of pictures that are being decoded. */
  long mediaFileBytes() {
    return (mediaCache == null ? MEDIA : mediaCache).value() / 4;
  }

  TransferOptions transfer() {
    int chunk = (int) Math.min(transferChunk.value(), Integer.MAX_VALUE);
    return new TransferOptions(chunk, !noTransferChecksum, !noUnixSockets, emulation.pace());
  }

  NodeConfig.Limits limits() {
    return NodeConfig.Limits.defaults().with(drain, watchdog);
  }

  int prefillStep() {
    if (prefillStep < DecoderShape.BLOCK_TOKENS) {
      throw new InvalidRequest(
          "--prefill-step %d is too little; expected at least the %d tokens of a KV block"
              .formatted(prefillStep, DecoderShape.BLOCK_TOKENS));
    }
    return prefillStep;
  }

  int decodeBatch() {
    if (decodeBatch < 1) {
      throw new InvalidRequest("--decode-batch must be at least 1");
    }
    return decodeBatch;
  }

  /** How requests share a node. */
  NodeConfig.Sharing sharing() {
    return new NodeConfig.Sharing(
        maxAdaptersPerBatch == null ? Integer.MAX_VALUE : maxAdaptersPerBatch, tenants.weights());
  }

  RuntimeOptions runtime(Precision precision) {
    return new RuntimeOptions(threads, precision, Home.cache(), !noPrepack);
  }

  QueueOrder encodeOrder() {
    return new QueueOrder(orders.policies().encode(), orderPatience);
  }

  QueueOrder prefillOrder() {
    return new QueueOrder(orders.policies().prefill(), orderPatience);
  }

  QueueOrder decodeOrder() {
    return new QueueOrder(orders.policies().decode(), orderPatience);
  }

  /** The same options for another process. */
  List<String> arguments() {
    List<String> arguments =
        new ArrayList<>(
            List.of(
                "--kv-swap",
                kvSwap.value() + "B",
                "--threads",
                Integer.toString(threads),
                "--precision",
                precisions.word(),
                "--order",
                orders.word(),
                "--order-patience",
                TimeText.of(orderPatience),
                "--prefill-step",
                Integer.toString(prefillStep),
                "--decode-batch",
                Integer.toString(decodeBatch),
                "--kv-wire",
                kvWire.word(),
                "--transfer-chunk",
                transferChunk.value() + "B",
                "--drain",
                TimeText.of(drain),
                "--watchdog",
                TimeText.of(watchdog)));
    if (kvCache != null) {
      arguments.addAll(List.of("--kv-cache", kvCache.value() + "B"));
    }
    if (mediaCache != null) {
      arguments.addAll(List.of("--media-cache", mediaCache.value() + "B"));
    }
    adapters.forEach((name, folder) ->
        arguments.addAll(List.of("--adapter", name + "=" + folder.toAbsolutePath())));
    arguments.addAll(tiers.arguments());
    arguments.addAll(tenants.arguments());
    arguments.addAll(tls.arguments());
    arguments.addAll(roots.arguments());
    if (maxAdaptersPerBatch != null) {
      arguments.addAll(List.of("--max-adapters-per-batch", maxAdaptersPerBatch.toString()));
    }
    if (noPrefixCache) {
      arguments.add("--no-prefix-cache");
    }
    if (batchPlan) {
      arguments.add("--batch-plan");
    }
    if (noMediaCache) {
      arguments.add("--no-media-cache");
    }
    arguments.addAll(emulation.arguments());
    arguments.addAll(tracing.arguments());
    arguments.addAll(logs.arguments());
    if (noPrepack) {
      arguments.add("--no-prepack");
    }
    if (noTransferChecksum) {
      arguments.add("--no-transfer-checksum");
    }
    if (noUnixSockets) {
      arguments.add("--no-unix-sockets");
    }
    return arguments;
  }
}
