package io.epidote.cli;

import io.epidote.router.cluster.Topology;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** How a router lets stages work. */
final class RouterOptions {
  private static final String AUTO = "auto";

  @Option(
      names = "--no-overlap",
      description =
          "Run the stages of a request strictly one after the other, for measuring what overlap brings.")
  boolean noOverlap;

  @Option(
      names = "--topology",
      paramLabel = "TOPOLOGY",
      description =
          "Which stages of a request share a node: EPD, EP+D, E+PD or E+P+D for every request, for measuring what each costs. Default: auto, for each request what is predicted to be fastest now.")
  String topology = AUTO;

  @Option(
      names = "--classifier",
      paramLabel = "FILE",
      description =
          "A classifier, as router.json beside a model's adapters, that chooses the adapter of requests to MODEL:auto by their text.")
  @Nullable Path classifier;

  Optional<Path> classifier() {
    return Optional.ofNullable(classifier);
  }

  /** What every request is held to, or nothing. */
  Optional<Topology> topology() {
    return topology.equals(AUTO) ? Optional.empty() : Optional.of(Topology.parse(topology));
  }
}
