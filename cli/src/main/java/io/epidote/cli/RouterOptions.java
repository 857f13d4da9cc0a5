package io.epidote.cli;

import picocli.CommandLine.Option;

/** How a router lets stages work. */
final class RouterOptions {
  @Option(
      names = "--no-overlap",
      description =
          "Run the stages of a request strictly one after the other, for measuring what overlap brings.")
  boolean noOverlap;
}
