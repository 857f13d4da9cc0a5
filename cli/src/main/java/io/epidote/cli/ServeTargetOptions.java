package io.epidote.cli;

import io.epidote.cli.load.LoadServer;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Which server a load goes to, and how. */
final class ServeTargetOptions {
  /** Where OpenAI's own tools look for it, so that no key stands on a command line. */
  private static final String KEY = "OPENAI_API_KEY";

  @Option(
      names = "--url",
      paramLabel = "URL",
      description = "The server, with or without /v1. Default: ${DEFAULT-VALUE}.")
  private String url = "http://127.0.0.1:8000";

  @Option(
      names = "--api",
      paramLabel = "API",
      description = "chat, or completions (prompts as token ids). Default: ${DEFAULT-VALUE}.")
  private String api = "chat";

  @Option(
      names = "--grpc",
      description = "Send requests over Epidote's own gRPC contract, to --router.")
  private boolean grpc;

  @Option(
      names = "--router",
      paramLabel = "HOST:PORT",
      description =
          "A router's gRPC port, to watch its nodes and for --grpc. Default: the port after the URL's, if a router is there.")
  private @Nullable String router;

  @Option(
      names = "--model",
      paramLabel = "NAME",
      description =
          "Model to name in requests. Default: the first that the server lists. A key is taken from the variable OPENAI_API_KEY.")
  private @Nullable String model;

  @Option(
      names = "--timeout",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description =
          "How long nothing may come of an answer before it counts as failed. Default: 120s.")
  private Duration timeout = Duration.ofSeconds(120);

  LoadServer.Address address() {
    if (timeout.compareTo(Duration.ofSeconds(1)) < 0) {
      throw new InvalidRequest("--timeout must be at least 1s");
    }
    return new LoadServer.Address(
        url,
        api,
        grpc,
        Optional.ofNullable(router),
        Optional.ofNullable(model),
        Optional.ofNullable(System.getenv(KEY)),
        true,
        timeout);
  }
}
