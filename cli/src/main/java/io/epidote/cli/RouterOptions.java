package io.epidote.cli;

import io.epidote.router.cluster.Topology;
import java.util.Optional;
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

  /** What every request is held to, or nothing. */
  Optional<Topology> topology() {
    return topology.equals(AUTO) ? Optional.empty() : Optional.of(Topology.parse(topology));
  }
}
