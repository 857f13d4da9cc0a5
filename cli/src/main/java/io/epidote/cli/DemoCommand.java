package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.Unavailable;
import io.epidote.proto.v1.SamplingParams;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
    name = "demo",
    description = {
      "Starts a router and an encode, a prefill and a decode node as four processes, asks questions",
      "about the pictures that ship, shows where the time and the memory went, and stops everything."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {"  epidote demo", "  epidote demo --json"})
final class DemoCommand implements Callable<Integer> {
  private record Question(String text, List<String> pictures) {}

  private static final List<Question> QUESTIONS =
      List.of(
          new Question("describe the picture.", List.of("small.png")),
          new Question("how many shapes are there?", List.of("small.png")),
          new Question("describe the picture.", List.of("large.png")),
          new Question("where is the red circle?", List.of("large.png")),
          new Question("which picture has a red circle?", List.of("small.png", "other.png")));

  @Option(
      names = "--precision",
      paramLabel = "P",
      converter = StagePrecisions.Converter.class,
      description = "As for up, for example int8 or encode=fp32,prefill=int8,decode=int4.")
  private StagePrecisions precisions = new NodeOptions().precisions;

  @Option(names = "--json", description = "Print one JSON object instead of the story.")
  private boolean json;

  @Override
  public Integer call() {
    long started = System.nanoTime();
    Path pictures = Home.model("scenes").resolve("examples");
    // The story goes to standard output; with --json only the object does.
    PrintStream out = json ? new PrintStream(OutputStream.nullOutputStream()) : System.out;
    out.println("Starting a router and one node each for encode, prefill and decode ...");
    Report report = new Report("demo");
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.precisions = precisions;
    try (Progress progress = new Progress();
        ProcessCluster cluster =
            ProcessCluster.start(options, NodeSpec.parseList("E,P,D"), progress);
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      progress.close();
      out.printf(
          Locale.ROOT,
          "%d processes serve after %.1f s: OpenAI API at http://%s/v1, gRPC at %s%n",
          cluster.children().size(),
          secondsSince(started),
          cluster.httpAddress(),
          cluster.grpcAddress());
      SamplingParams greedy = SamplingParams.newBuilder().setTemperature(0).build();
      for (Question question : QUESTIONS) {
        List<Path> files = question.pictures().stream().map(pictures::resolve).toList();
        out.printf("%n%s  %s%n  ", String.join(" + ", question.pictures()), question.text());
        InferenceClient.Answer answer =
            client.generate(
                InferenceClient.question("", AskCommand.read(files), question.text(), greedy),
                text -> {
                  out.print(text);
                  out.flush();
                });
        out.println();
        out.print(TimelineText.of(answer, "    "));
        report.row(
            Map.of(
                "question", question.text(),
                "pictures", question.pictures(),
                "answer", answer.text(),
                "ttft_ms", answer.firstTextMillis(),
                "total_ms", answer.millis()));
      }
      out.println();
      StatusCommand.print(client.load(), out);
      awaitStop(cluster);
    }
    double seconds = secondsSince(started);
    out.printf(
        Locale.ROOT, "%nStopped everything. %d answers in %.1f s.%n", QUESTIONS.size(), seconds);
    if (json) {
      report.figure("requests", QUESTIONS.size()).figure("seconds", seconds).print(System.out);
    }
    return 0;
  }

  /** Stops the processes here, where one that does not go can still be reported. */
  private static void awaitStop(ProcessCluster cluster) {
    List<ChildProcess> children = cluster.children();
    cluster.close();
    String left =
        children.stream()
            .filter(child -> child.process().isAlive())
            .map(child -> Long.toString(child.process().pid()))
            .collect(Collectors.joining(", "));
    if (!left.isEmpty()) {
      throw new Unavailable("These processes did not stop: " + left);
    }
  }

  private static double secondsSince(long started) {
    return (System.nanoTime() - started) / 1e9;
  }
}
