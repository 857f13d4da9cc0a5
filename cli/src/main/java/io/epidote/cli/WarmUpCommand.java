package io.epidote.cli;

import io.epidote.proto.v1.SamplingParams;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/**
 * Runs every part once in one process. The launcher does so after a build, to record which classes
 * a start loads: with the archive of them every later JVM starts in about half the time. It also
 * converts the weights of the model that ships.
 */
@Command(name = "warm-up", hidden = true)
final class WarmUpCommand implements Callable<Integer> {
  @Override
  public Integer call() {
    try (Progress progress = new Progress();
        Cluster cluster =
            LocalCluster.start(
                new ClusterOptions().onAnyPort(), NodeSpec.parseList("EPD"), progress);
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      client.generate(
          InferenceClient.question(
              "",
              AskCommand.read(List.of(Home.model("scenes").resolve("examples/small.png"))),
              "describe the picture.",
              SamplingParams.newBuilder().setTemperature(0).setMaxTokens(4).build()),
          text -> {});
    }
    return 0;
  }
}
