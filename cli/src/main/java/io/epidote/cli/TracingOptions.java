package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.node.trace.Tracing;
import java.net.URI;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Whether requests are traced, and where the traces go. */
final class TracingOptions {
  @Option(
      names = "--otlp-endpoint",
      paramLabel = "URL",
      description =
          "A collector for traces that takes OTLP over HTTP, for example http://localhost:4318. Default: none.")
  @Nullable String endpoint;

  @Option(
      names = "--otlp-ratio",
      paramLabel = "R",
      description =
          "With --otlp-endpoint, which part of the requests is traced whose callers do not say; 0 to 1. Default: ${DEFAULT-VALUE}.")
  double ratio = 1;

  Tracing.Options tracing() {
    if (!(ratio >= 0 && ratio <= 1)) {
      throw new InvalidRequest("--otlp-ratio %s does not work; expected 0 to 1".formatted(ratio));
    }
    return new Tracing.Options(Optional.ofNullable(endpoint).map(TracingOptions::parse), ratio);
  }

  private static URI parse(String url) {
    try {
      URI uri = URI.create(url);
      if (uri.getHost() != null && List.of("http", "https").contains(uri.getScheme())) {
        return uri;
      }
    } catch (IllegalArgumentException e) {
      // As below.
    }
    throw new InvalidRequest(
        "--otlp-endpoint %s does not work; expected a URL such as http://localhost:4318"
            .formatted(url));
  }

  /** The same options for another process. */
  List<String> arguments() {
    return endpoint == null
        ? List.of()
        : List.of("--otlp-endpoint", endpoint, "--otlp-ratio", Double.toString(ratio));
  }
}
