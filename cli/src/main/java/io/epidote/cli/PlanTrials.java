package io.epidote.cli;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.error.EpidoteException.TooLarge;
import io.epidote.node.engine.QueueOrder.Policy;
import io.epidote.planner.Capacity;
import io.epidote.planner.Goodput;
import io.epidote.planner.Plan;
import io.epidote.planner.sim.ClusterShape;
import io.epidote.planner.sim.ClusterShape.Host;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.epidote.planner.sim.Outcome;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Schedule;
import io.epidote.planner.sim.Simulation;
import io.epidote.router.cluster.Sharding;
import java.util.List;

/**
 * Plans put to the test in the simulator: with the options that a real cluster would be started
 * with, and requests that arrive at random. Safe for use by several threads.
 *
 * @param host what processes take
 * @param mix of which each request is one
 * @param attainment share of requests that have to be fast enough
 * @param requests of a trial
 */
record PlanTrials(
    PlanCluster clusters,
    Host host,
    List<Request> mix,
    Targets targets,
    double attainment,
    int requests,
    long seed)
    implements Goodput.Trial {
  private static final int WARM_UP = 20;
  private static final double APART_MS = 500;

  /** Devices for which that is enough. */
  private static final int WARMED = 8;

  /** The same with other requests. */
  PlanTrials with(int count, long otherSeed) {
    return new PlanTrials(clusters, host, mix, targets, attainment, count, otherSeed);
  }

  /** Options of a plan, with which a cluster can be started. */
  static ClusterOptions options(CostProfile device, Plan plan, Targets targets) {
    ClusterOptions options = new ClusterOptions();
    options.node.emulation.emulate(device);
    options.node.prefillStep = plan.prefillStep();
    options.node.decodeBatch = plan.decodeBatch();
    options.node.orders = new StageOrders(ByStage.all(plan.order()));
    options.router.sharding = (plan.divides() ? Sharding.TILES : Sharding.NONE).label();
    if (plan.order() == Policy.SLACK) {
      targets.ttftMs().ifPresent(ms -> options.router.sloTtftMs = ms);
      targets.tpotMs().ifPresent(ms -> options.router.sloTpotMs = ms);
    }
    return options;
  }

  static List<NodeSpec> nodes(Plan plan) {
    return NodeSpec.parseList(String.join(",", plan.layout().nodes()));
  }

  private ClusterShape shape(Plan plan) {
    Targets asked = plan.order() == Policy.SLACK ? targets : Targets.NONE;
    return clusters.shape(options(clusters.profile(), plan, targets), nodes(plan), asked, host);
  }

  /** Requests at a rate, after some in which so many devices learn what they cost. */
  static Schedule schedule(
      List<Request> mix, double rate, int count, int devices, long requestSeed) {
    double times = Math.max(1, (double) devices / WARMED);
    return Schedule.poisson(
        mix, rate, count, (int) (WARM_UP * times), APART_MS / times, requestSeed);
  }

  private Schedule schedule(Plan plan, double rate) {
    return schedule(mix, rate, requests, plan.layout().devices(), seed);
  }

  @Override
  public boolean meets(Plan plan, double rate) {
    try {
      return Simulation.meets(shape(plan), schedule(plan, rate), targets, attainment);
    } catch (TooLarge e) {
      // A plan whose nodes cannot hold a request serves no rate.
      return false;
    }
  }

  Outcome run(Plan plan, double rate) {
    return Simulation.run(shape(plan), schedule(plan, rate));
  }

  /** Requests a second that a plan serves well, found with these requests. */
  double goodput(Plan plan, double exact) {
    Capacity capacity = new Capacity(clusters.device(), mix);
    return new Goodput(this, exact).of(plan, capacity.rate(plan));
  }
}
