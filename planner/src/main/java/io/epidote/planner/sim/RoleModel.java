package io.epidote.planner.sim;

import io.epidote.planner.sim.Simulation.Switching;
import io.epidote.proto.v1.Stage;
import io.epidote.router.cluster.Demand;
import io.epidote.router.cluster.Member;
import io.epidote.router.roles.RolePolicy;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** What a router's role control is: it looks once a second and does what its policy says. */
final class RoleModel {
  private final Simulation simulation;
  private final Switching switching;
  private int underWay;

  RoleModel(Simulation simulation, Switching switching) {
    this.simulation = simulation;
    this.switching = switching;
  }

  void begin() {
    simulation.events().after(RolePolicy.PERIOD.toNanos(), this::look);
  }

  private void look() {
    Demand.Rates rates = simulation.cluster().demand().rates();
    RolePolicy.Look look =
        switching
            .policy()
            .look(
                simulation.cluster().members(),
                rates,
                simulation.cluster().work(rates),
                underWay > 0 ? Optional.of("a switch is under way") : Optional.empty(),
                simulation.events().now());
    if (look.begins()) {
      look.best().ifPresent(best -> exchange(best.nodes(), best.to()));
    }
    if (simulation.isServing()) {
      begin();
    }
  }

  private void exchange(List<Member> nodes, Set<Stage> to) {
    long began = simulation.events().now();
    underWay = nodes.size();
    for (Member node : List.copyOf(nodes)) {
      simulation.exchange(
          node,
          to,
          switching.rules().drain().toNanos(),
          Math.round(switching.loadMs() * 1e6),
          () -> {
            underWay--;
            long now = simulation.events().now();
            switching.policy().switched((now - began) / 1e6, now);
            switching.onSwitch().run();
          });
    }
  }
}
