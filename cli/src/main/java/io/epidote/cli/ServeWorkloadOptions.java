package io.epidote.cli;

import io.epidote.cli.load.PictureFiles;
import io.epidote.cli.load.Range;
import io.epidote.cli.load.Workload;
import io.epidote.cli.load.WorkloadOptions;
import io.epidote.cli.load.Workloads;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What requests of a load are made of. */
final class ServeWorkloadOptions {
  @Option(
      names = "--workload",
      paramLabel = "NAME|FILE",
      description = {
        "random: pictures and text of any number and length;",
        "nextqa: 8 frames of 640x480, short questions and answers; videomme: 64 frames of 1280x720, multiple choice",
        "(both in shape only); document: several questions about the same pages; egocentric: the last frames of",
        "cameras, in bursts; phases: short answers, then long ones; or a JSONL file. Default: ${DEFAULT-VALUE}."
      })
  private String workload = "random";

  @Option(
      names = "--pictures",
      paramLabel = "N[-M]",
      description = "Pictures, pages or frames of a request. Default: the workload's; random: 0.")
  private @Nullable String pictures;

  @Option(
      names = "--picture-sizes",
      split = ",",
      paramLabel = "WxH",
      description = "Their sizes, one of which is drawn for each. Default: the workload's.")
  private List<String> sizes = List.of();

  @Option(
      names = "--header-pictures",
      description =
          "Pictures of a hundred bytes that have a size and no pixels, for emulated devices that decode none.")
  private boolean headersOnly;

  @Option(
      names = "--input-tokens",
      paramLabel = "N[-M]",
      description = "Tokens of a prompt's text. Default: the workload's; random: 128.")
  private @Nullable String inputTokens;

  @Option(
      names = "--output-tokens",
      paramLabel = "N[-M]",
      description = "Tokens of an answer. Default: the workload's; random: 64.")
  private @Nullable String outputTokens;

  @Option(
      names = "--sharing",
      paramLabel = "N",
      description = "Questions about each document. Default: ${DEFAULT-VALUE}.")
  private int sharing = 8;

  @Option(
      names = "--vocabulary",
      paramLabel = "N",
      description = "Tokens to choose from. Default: ${DEFAULT-VALUE}.")
  private int vocabulary = 49152;

  @Option(
      names = "--english",
      description =
          "Text of frequent English words, about a token each. Default: words of a shape's tokenizer, w0 w1 ...")
  private boolean english;

  @Option(
      names = "--seed",
      paramLabel = "N",
      description =
          "Chooses the prompts and arrivals. Default: others every time, which no cache knows.")
  private @Nullable Long seed;

  private final long usualSeed = System.nanoTime();

  String name() {
    return workload;
  }

  long seed() {
    return seed == null ? usualSeed : seed;
  }

  /**
   * The workload, with requests that no other level of this run had.
   *
   * @param level from 0; -1 for what is sent to warm up
   */
  Workload workload(int level) {
    if (vocabulary < 2 || sharing < 1) {
      throw new InvalidRequest("--vocabulary must be at least 2, --sharing 1");
    }
    return Workloads.named(
        workload,
        new WorkloadOptions(
            range(pictures),
            sizes.stream().map(PictureFiles.Size::parse).toList(),
            range(inputTokens),
            range(outputTokens),
            vocabulary,
            english,
            sharing,
            headersOnly,
            seed() + 31L * level));
  }

  private static @Nullable Range range(@Nullable String text) {
    return text == null ? null : Range.parse(text);
  }
}
