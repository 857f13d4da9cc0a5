package io.epidote.cli;

import io.epidote.engine.error.EpidoteException;
import io.epidote.planner.sim.Outcome;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Schedule;
import io.epidote.planner.sim.Schedule.Sending;
import io.epidote.proto.v1.ExplainResponse;
import io.epidote.proto.v1.GenerateRequest;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.locks.LockSupport;

/**
 * A running cluster that is asked what a simulated one was: the same requests at the same moments.
 * What a request waits counts from when it should have been sent. Times are the devices'.
 */
final class PlanRun implements AutoCloseable {
  private final double timeScale;
  private final PlanWorkload workload;
  private final List<Request> simulated;
  private final Cluster cluster;
  private final InferenceClient client;
  private final HeaderPictures pictures = new HeaderPictures(23);

  private PlanRun(
      double timeScale, PlanWorkload workload, List<Request> simulated, Cluster cluster) {
    this.timeScale = timeScale;
    this.workload = workload;
    this.simulated = simulated;
    this.cluster = cluster;
    this.client = new InferenceClient(cluster.grpcAddress());
  }

  /**
   * Starts a cluster in this process.
   *
   * @param simulated the workload's kinds as the simulator has them
   */
  static PlanRun start(
      ClusterOptions options,
      List<NodeSpec> nodes,
      PlanWorkload workload,
      List<Request> simulated,
      Progress progress) {
    return new PlanRun(
        options.node.emulation.timeScale,
        workload,
        simulated,
        LocalCluster.start(options.onAnyPort(), nodes, progress));
  }

  Outcome serve(Schedule schedule) {
    int all = schedule.sendings().size();
    double[] ttft = new double[all];
    double[] tpot = new double[all];
    Arrays.fill(ttft, Double.NaN);
    Arrays.fill(tpot, Double.NaN);
    try (ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
      long start = System.nanoTime();
      for (int i = 0; i < all; i++) {
        Sending next = schedule.sendings().get(i);
        GenerateRequest request = workload.kindOf(simulated, next.request()).request(pictures);
        long at = start + Math.round(next.ms() * 1e6 / timeScale);
        while (System.nanoTime() < at) {
          LockSupport.parkNanos(at - System.nanoTime());
        }
        int place = i;
        clients.execute(() -> {
          double late = (System.nanoTime() - at) / 1e6;
          try {
            InferenceClient.Answer answer = client.generate(request, _ -> {});
            ttft[place] = (answer.firstTextMillis() + late) * timeScale;
            int more = next.request().answerTokens() - 1;
            if (more > 0) {
              tpot[place] = (answer.millis() - answer.firstTextMillis()) * timeScale / more;
            }
          } catch (EpidoteException e) {
            // A request without an answer has no times.
            System.err.println("epidote: " + e.getMessage());
          }
        });
      }
    }
    int first = schedule.warmUp();
    return new Outcome(Arrays.copyOfRange(ttft, first, all), Arrays.copyOfRange(tpot, first, all));
  }

  /** What its router did about roles. */
  ExplainResponse roles() {
    try (InferenceClient admin = new InferenceClient(cluster.adminAddress())) {
      return admin.explainRoles();
    }
  }

  @Override
  public void close() {
    client.close();
    cluster.close();
  }
}
