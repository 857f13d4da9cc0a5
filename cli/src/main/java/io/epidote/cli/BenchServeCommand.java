package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
    name = "serve",
    description = {
      "Measures a running server that speaks OpenAI's API, this one or another: clients in a closed loop",
      "send prompts of random tokens and read streamed answers of a fixed length."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote up --processes --nodes PD --model smollm2-135m --precision int8 --threads 2 --kv-cache 256MiB",
      "  epidote bench serve --url http://127.0.0.1:8000 --clients 16 --requests 64 --json",
      "  epidote bench serve --url http://127.0.0.1:8080 --api completions      a server of another make"
    })
final class BenchServeCommand implements Callable<Integer> {
  @Option(
      names = "--url",
      paramLabel = "URL",
      description = "The server, with or without /v1. Default: ${DEFAULT-VALUE}.")
  private String url = "http://127.0.0.1:8000";

  @Option(
      names = "--api",
      paramLabel = "API",
      description =
          "chat (prompts in words of a shape's tokenizer, w0 w1 ...) or completions (prompts as token ids). Default: chat.")
  private ServeRequests.Api api = ServeRequests.Api.CHAT;

  @Option(
      names = "--clients",
      paramLabel = "N",
      description = "Requests at a time. Default: ${DEFAULT-VALUE}.")
  private int clients = 16;

  @Option(
      names = "--requests",
      paramLabel = "N",
      description = "Requests to measure. Default: ${DEFAULT-VALUE}.")
  private int requests = 64;

  @Option(
      names = "--warm-up",
      paramLabel = "N",
      description = "Requests before, which are not measured. Default: ${DEFAULT-VALUE}.")
  private int warmUp = 16;

  @Option(
      names = "--input-tokens",
      paramLabel = "N",
      description = "Tokens of a prompt. Default: ${DEFAULT-VALUE}.")
  private int inputTokens = 128;

  @Option(
      names = "--output-tokens",
      paramLabel = "N",
      description = "Tokens of an answer. Default: ${DEFAULT-VALUE}.")
  private int outputTokens = 64;

  @Option(
      names = "--vocabulary",
      paramLabel = "N",
      description = "Tokens to choose from. Default: ${DEFAULT-VALUE}.")
  private int vocabulary = 49152;

  @Option(
      names = "--seed",
      paramLabel = "N",
      description = "Chooses the prompts. Default: others every time, which no cache knows.")
  private @Nullable Long seed;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Override
  public Integer call() {
    if (clients < 1 || requests < 1 || inputTokens < 1 || outputTokens < 1 || warmUp < 0) {
      throw new InvalidRequest(
          "--clients, --requests, --input-tokens and --output-tokens must be at least 1, --warm-up 0");
    }
    if (vocabulary < 2) {
      throw new InvalidRequest("--vocabulary must be at least 2");
    }
    ServeRequests source =
        new ServeRequests(
            api, inputTokens, outputTokens, vocabulary, seed == null ? System.nanoTime() : seed);
    try (ServeBench bench = new ServeBench(url, source, clients)) {
      bench.run(warmUp);
      ServeFigures figures = bench.run(requests);
      if (json) {
        figures.report().print(System.out);
      } else {
        figures.report().printTable(System.out);
      }
      return figures.errors() == 0 ? 0 : 1;
    }
  }
}
