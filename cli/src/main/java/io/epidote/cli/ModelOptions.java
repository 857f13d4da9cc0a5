package io.epidote.cli;

import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Which model to serve. */
final class ModelOptions {
  @Option(
      names = "--model",
      paramLabel = "DIR",
      description = "Hugging Face folder to serve. Default: the model that ships, models/scenes.")
  Path folder = Home.model("scenes");
}
