package io.epidote.cli;

import io.epidote.cli.load.Access;
import io.epidote.cli.load.LoadServer;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Which server a load goes to, and how. */
final class ServeTargetOptions {
  /** Where OpenAI's own tools look for it, so that no key stands on a command line. */
  private static final String KEY = "OPENAI_API_KEY";

  @Option(
      names = "--url",
      paramLabel = "URL",
      description =
          "The server, with or without /v1. Default: http://127.0.0.1:8000, https with --tls-ca.")
  private @Nullable String url;

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
          "Model to name in requests. Default: the first that the server lists. The variable OPENAI_API_KEY may have a key, too.")
  private @Nullable String model;

  @Option(
      names = "--timeout",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description =
          "How long nothing may come of an answer before it counts as failed. Default: 120s.")
  private Duration timeout = Duration.ofSeconds(120);

  @Mixin private ConnectionOptions connection = new ConnectionOptions();

  LoadServer.Address address() {
    if (timeout.compareTo(Duration.ofSeconds(1)) < 0) {
      throw new InvalidRequest("--timeout must be at least 1s");
    }
    Access access = connection.access(connection.key.keyOr(KEY));
    String at = url == null ? access.scheme() + "://127.0.0.1:8000" : url;
    if (access.tls().isPresent() && !at.startsWith("https:")) {
      throw new InvalidRequest(
          "--tls-ca is for a server with TLS, but --url is %s; expected https://".formatted(at));
    }
    return new LoadServer.Address(
        at,
        api,
        grpc,
        Optional.ofNullable(router),
        Optional.ofNullable(model),
        access,
        true,
        timeout);
  }
}
