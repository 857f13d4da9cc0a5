package io.epidote.cli;

import java.nio.file.Path;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;

/** Which model to serve. */
final class ModelOptions {
  static final Path DEFAULT = Home.model("scenes");

  @Option(
      names = "--model",
      paramLabel = "DIR|SHAPE",
      converter = FolderConverter.class,
      description =
          "Hugging Face folder to serve, or a shape with random weights, for measuring: smollm2-135m, smolvlm-256m, moe-576x12x16. Or a cost profile that ships, for the model that it emulates. Default: the model that ships, models/scenes.")
  Path folder = DEFAULT;

  static final class FolderConverter implements ITypeConverter<Path> {
    @Override
    public Path convert(String word) {
      try (Progress progress = new Progress()) {
        return Home.modelOrShape(word, progress);
      }
    }
  }
}
