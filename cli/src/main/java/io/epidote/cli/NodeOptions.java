package io.epidote.cli;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.model.Precision;
import io.epidote.engine.model.RuntimeOptions;
import io.epidote.node.transfer.TransferOptions;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;

/** What a node may use. */
final class NodeOptions {
  @Option(
      names = "--kv-cache",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description = "KV blocks of a prefill or decode node. Default: 64MiB.")
  Bytes kvCache = new Bytes(64 << 20);

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
          "Media tokens of an encode or prefill node: those in use, and on an encode node those of pictures that may come again. Default: 64MiB.")
  Bytes mediaCache = new Bytes(64 << 20);

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
      names = "--adapter",
      paramLabel = "NAME=DIR",
      description = {
        "An adapter of the model, ESFT or LoRA, which requests name as MODEL:NAME. Repeat for several; 'epidote adapter' loads and unloads while the node runs."
      })
  Map<String, Path> adapters = new TreeMap<>();

  @Option(
      names = "--no-prepack",
      description =
          "Leave weights mapped and shared by all processes instead of copying them into each in the kernels' order: less memory, several times slower.")
  boolean noPrepack;

  @Option(
      names = "--emulate",
      paramLabel = "FILE|COSTS",
      converter = CostProfileConverter.class,
      description = {
        "Compute nothing: every step takes what this cost profile says, and answers are noise. Everything else is real.",
        "A JSON file, or for example tile_ms:20,prompt_token_ms:0.1; costs are encode_step_ms, tile_ms, prefill_step_ms, prompt_token_ms, decode_step_ms, decode_token_ms."
      })
  @Nullable CostProfile emulate;

  static final class CostProfileConverter implements ITypeConverter<CostProfile> {
    @Override
    public CostProfile convert(String text) {
      return CostProfile.parse(text);
    }
  }

  @Option(
      names = "--transfer-chunk",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description = "What a node pulls at a time, 256KiB to 4MiB. Default: 1MiB.")
  Bytes transferChunk = new Bytes(TransferOptions.DEFAULT_CHUNK_BYTES);

  @Option(
      names = "--no-transfer-checksum",
      description = "Do not check what was pulled; TCP's own checksum is weak.")
  boolean noTransferChecksum;

  @Option(
      names = "--no-unix-sockets",
      description = "Pull over TCP even from nodes of the same machine.")
  boolean noUnixSockets;

  TransferOptions transfer() {
    int chunk = (int) Math.min(transferChunk.value(), Integer.MAX_VALUE);
    return new TransferOptions(chunk, !noTransferChecksum, !noUnixSockets);
  }

  RuntimeOptions runtime(Precision precision) {
    return new RuntimeOptions(threads, precision, Home.cache(), !noPrepack);
  }

  /** The same options for another process. */
  List<String> arguments() {
    List<String> arguments =
        new ArrayList<>(
            List.of(
                "--kv-cache",
                kvCache.value() + "B",
                "--kv-swap",
                kvSwap.value() + "B",
                "--media-cache",
                mediaCache.value() + "B",
                "--threads",
                Integer.toString(threads),
                "--precision",
                precisions.word(),
                "--transfer-chunk",
                transferChunk.value() + "B"));
    adapters.forEach((name, folder) ->
        arguments.addAll(List.of("--adapter", name + "=" + folder.toAbsolutePath())));
    if (noPrefixCache) {
      arguments.add("--no-prefix-cache");
    }
    if (noMediaCache) {
      arguments.add("--no-media-cache");
    }
    if (emulate != null) {
      arguments.addAll(List.of("--emulate", emulate.word()));
    }
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
