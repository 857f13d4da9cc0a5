package io.epidote.stages;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.stages.RouterDriver.Answer;
import io.epidote.stages.RouterDriver.Run;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assertions;

/** Nodes for encode, prefill and decode, in one to three processes, and a driver for them. */
final class Cluster implements AutoCloseable {
  final List<TestNode> nodes = new ArrayList<>();
  final TestNode encode;
  final TestNode prefill;
  final TestNode decode;
  final RouterDriver driver;

  /**
   * @param topology for example {@code E-PD}
   */
  Cluster(String topology, Set<Integer> eosIds, TestNode.Options options) {
    List<String> parts = List.of(topology.split("-"));
    for (String stages : parts) {
      nodes.add(new TestNode(stages, eosIds, options));
    }
    encode = with(parts, "E");
    prefill = with(parts, "P");
    decode = with(parts, "D");
    driver = new RouterDriver(encode, prefill, decode);
  }

  private TestNode with(List<String> parts, String stage) {
    for (int i = 0; i < parts.size(); i++) {
      if (parts.get(i).contains(stage)) {
        return nodes.get(i);
      }
    }
    throw new IllegalArgumentException("no node for " + stage);
  }

  static Answer await(Run run) {
    return run.answer.orTimeout(120, TimeUnit.SECONDS).join();
  }

  /** The error that a request ends with, as the router would understand it. */
  static EpidoteException error(Run run) {
    CompletionException thrown =
        Assertions.assertThrows(CompletionException.class, () -> await(run));
    return GrpcErrors.fromStatus(thrown);
  }

  void assertEmpty() {
    nodes.forEach(TestNode::assertEmpty);
  }

  @Override
  public void close() {
    driver.close();
    nodes.forEach(TestNode::close);
  }
}
