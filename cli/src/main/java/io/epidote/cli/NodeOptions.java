package io.epidote.cli;

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
      names = "--media-cache",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description = "Media tokens of an encode or prefill node. Default: 16MiB.")
  Bytes mediaCache = new Bytes(16 << 20);

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads of a node's model. Default: ${DEFAULT-VALUE}.")
  int threads = 1;
}
