package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.planner.sim.ClusterShape;
import io.epidote.planner.sim.ClusterShape.Host;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.epidote.planner.sim.Outcome;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Schedule;
import io.epidote.planner.sim.Schedule.Sending;
import io.epidote.planner.sim.Simulation;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/**
 * What this machine's processes take beside the devices, measured on an idle cluster: of requests
 * one by one, what is left when a simulation of processes that take no time is subtracted. Of text
 * that is the way into the router and three messages, of a picture four messages more.
 */
final class PlanHost {
  private static final int WARM_UP = 60;
  private static final int COUNT = 31;
  private static final double APART_MS = 300;

  /** Messages one after the other until the client has the first token of a text request. */
  private static final int TEXT_HOPS = 3;

  /** More of them with a picture: to the encode node, to the router, to prefill, a pull. */
  private static final int PICTURE_HOPS = 4;

  private static final String KINDS =
      "pictures=0,words=22,answer=1;pictures=1,size=448x448,words=22,answer=1";

  /** The router's own setting, in the clock's time. */
  private static final double REPORT_MS = 500;

  private PlanHost() {}

  /**
   * @param options a function, because a cluster changes its options
   * @return in the devices' time
   */
  static Host measure(PlanCluster clusters, Supplier<ClusterOptions> options, Progress progress) {
    ClusterOptions own = options.get();
    double scale = own.node.emulation.timeScale;
    PlanWorkload workload = PlanWorkload.parse(KINDS);
    List<Request> kinds = workload.simulated(clusters.model());
    List<NodeSpec> nodes = NodeSpec.parseList("E,P,D");
    double[] beyond = new double[kinds.size()];
    Host none = new Host(0, 0, 1e12, REPORT_MS * scale);
    ClusterShape ideal = clusters.shape(options.get(), nodes, Targets.NONE, none);
    try (PlanRun run = PlanRun.start(own, nodes, workload, kinds, progress)) {
      for (int kind = 0; kind < beyond.length; kind++) {
        Request request = kinds.get(kind);
        Schedule schedule =
            new Schedule(
                IntStream.range(0, WARM_UP + COUNT)
                    .mapToObj(i -> new Sending(i * APART_MS, request))
                    .toList(),
                WARM_UP);
        progress.update("measuring what the host takes");
        Outcome real = run.serve(schedule);
        beyond[kind] = real.ttft(0.5) - Simulation.run(ideal, schedule).ttft(0.5);
      }
    }
    double hop = Math.max(0, (beyond[1] - beyond[0]) / PICTURE_HOPS);
    double request = beyond[0] - TEXT_HOPS * hop;
    if (request < 0) {
      throw new InvalidRequest(
          "The host was too busy to be measured: a message took %.1f ms, a request of text %.1f; try again when nothing else is running"
              .formatted(hop, beyond[0]));
    }
    return new Host(request, hop, 1e9, REPORT_MS * scale);
  }
}
