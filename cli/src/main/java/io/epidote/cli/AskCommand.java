package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.proto.v1.SamplingParams;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "ask",
    description =
        "Asks a running router a question, with pictures or without, and streams the answer.",
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote ask --image models/scenes/examples/small.png \"describe the picture.\"",
      "  epidote ask --image a.png --image b.png \"which picture has a red circle?\"",
      "  epidote ask --json --temperature 0.7 --seed 1 --image a.png \"how many shapes are there?\""
    })
final class AskCommand implements Callable<Integer> {
  @Option(
      names = "--image",
      paramLabel = "FILE",
      description = "A picture: PNG, JPEG, GIF, BMP or WebP. Repeat for several.")
  private List<Path> images = List.of();

  @Parameters(paramLabel = "QUESTION", description = "What to ask.")
  private String question = "";

  @Option(
      names = "--router",
      paramLabel = "HOST:PORT",
      description = "The router's gRPC address. Default: ${DEFAULT-VALUE}.")
  private String router = "localhost:8001";

  @Mixin private ConnectionOptions connection = new ConnectionOptions();

  @Option(
      names = "--model",
      paramLabel = "NAME",
      description =
          "The served model's name, with :NAME behind it for an adapter. Default: the only one.")
  private String model = "";

  @Option(
      names = "--max-tokens",
      paramLabel = "N",
      description = "Most tokens to generate. Default: what the context leaves.")
  private int maxTokens = -1;

  @Option(names = "--temperature", paramLabel = "T", description = "0 (default) is greedy.")
  private float temperature;

  @Option(names = "--seed", paramLabel = "N", description = "Repeats a sampled answer.")
  private long seed;

  @Option(names = "--timeline", description = "Show where the time went.")
  private boolean timeline;

  @Option(names = "--json", description = "Print one JSON object instead of the streamed text.")
  private boolean json;

  @Override
  public Integer call() {
    SamplingParams.Builder sampling =
        SamplingParams.newBuilder().setTemperature(temperature).setSeed(seed);
    if (maxTokens >= 0) {
      sampling.setMaxTokens(maxTokens);
    }
    PrintStream out = System.out;
    try (InferenceClient client = new InferenceClient(router, connection)) {
      InferenceClient.Answer answer =
          client.generate(
              InferenceClient.question(model, read(images), question, sampling.build()),
              json ? text -> {} : text -> show(out, text));
      if (json) {
        new Report("ask")
            .figure("ttft_ms", answer.firstTextMillis())
            .figure("total_ms", answer.millis())
            .figure("prompt_tokens", answer.finished().getUsage().getPromptTokens())
            .figure("completion_tokens", answer.finished().getUsage().getCompletionTokens())
            .row(Map.of("question", question, "answer", answer.text()))
            .print(out);
      } else {
        out.println();
        if (timeline) {
          out.print(TimelineText.of(answer, ""));
        }
      }
    }
    return 0;
  }

  private static void show(PrintStream out, String text) {
    out.print(text);
    out.flush();
  }

  static List<byte[]> read(List<Path> files) {
    List<byte[]> pictures = new ArrayList<>();
    for (Path file : files) {
      try {
        pictures.add(Files.readAllBytes(file));
      } catch (IOException e) {
        throw new InvalidRequest(
            "The picture %s cannot be read (%s); give --image a file that exists"
                .formatted(file, e.getClass().getSimpleName()),
            e);
      }
    }
    return pictures;
  }
}
