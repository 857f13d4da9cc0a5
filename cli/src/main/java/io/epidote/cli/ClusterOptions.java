package io.epidote.cli;

import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.Option;

/** Options of every command that starts a cluster of its own. */
final class ClusterOptions {
  @Option(
      names = "--model",
      paramLabel = "DIR",
      description = "Hugging Face folder to serve. Default: the model that ships, models/scenes.")
  Path model = Home.model("scenes");

  @Option(
      names = "--http-port",
      paramLabel = "N",
      description = "OpenAI HTTP port of the router, 0 for any free one. Default: ${DEFAULT-VALUE}.")
  int httpPort = 8000;

  @Option(
      names = "--grpc-port",
      paramLabel = "N",
      description = "gRPC port of the router, 0 for any free one. Default: ${DEFAULT-VALUE}.")
  int grpcPort = 8001;

  @Option(
      names = "--kv-cache",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description = "KV blocks of each prefill and decode node. Default: 64MiB.")
  Bytes kvCache = new Bytes(64 << 20);

  @Option(
      names = "--media-cache",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description = "Media tokens of each encode and prefill node. Default: 16MiB.")
  Bytes mediaCache = new Bytes(16 << 20);

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads of one node's model. Default: ${DEFAULT-VALUE}.")
  int threads = 1;

  /** Ports that nobody else uses: for clusters that live as long as one command. */
  ClusterOptions onAnyPort() {
    httpPort = 0;
    grpcPort = 0;
    return this;
  }

  List<String> routerArguments() {
    return List.of(
        "--model", model.toString(),
        "--http-port", Integer.toString(httpPort),
        "--grpc-port", Integer.toString(grpcPort));
  }

  List<String> nodeArguments() {
    return List.of(
        "--model", model.toString(),
        "--kv-cache", kvCache.value() + "B",
        "--media-cache", mediaCache.value() + "B",
        "--threads", Integer.toString(threads));
  }
}
