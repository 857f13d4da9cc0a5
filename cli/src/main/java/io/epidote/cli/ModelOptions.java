package io.epidote.cli;

import java.nio.file.Path;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;

/** Which model to serve. */
final class ModelOptions {
  @Option(
      names = "--model",
      paramLabel = "DIR|SHAPE",
      converter = FolderConverter.class,
      description =
          "Hugging Face folder to serve, or a shape with random weights, for measuring: smollm2-135m, smolvlm-256m, moe-576x12x16. Default: the model that ships, models/scenes.")
  Path folder = Home.model("scenes");

  static final class FolderConverter implements ITypeConverter<Path> {
    @Override
    public Path convert(String word) {
      try (Progress progress = new Progress()) {
        return Home.modelOrShape(word, progress);
      }
    }
  }
}
