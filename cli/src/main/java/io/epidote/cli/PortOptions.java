package io.epidote.cli;

import picocli.CommandLine.Option;

/** Where a router listens. */
final class PortOptions {
  @Option(
      names = "--http-port",
      paramLabel = "N",
      description = "OpenAI HTTP port, 0 for any free one. Default: ${DEFAULT-VALUE}.")
  int http = 8000;

  @Option(
      names = "--grpc-port",
      paramLabel = "N",
      description = "gRPC port, 0 for any free one. Default: ${DEFAULT-VALUE}.")
  int grpc = 8001;

  @Option(
      names = "--admin-port",
      paramLabel = "N",
      description =
          "Port at which 'epidote adapter' loads and unloads adapters, 0 for any free one. Default: ${DEFAULT-VALUE}.")
  int admin = 8002;
}
