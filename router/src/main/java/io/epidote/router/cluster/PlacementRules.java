package io.epidote.router.cluster;

import static java.util.Objects.requireNonNull;

import java.util.Optional;

/**
 * What placement may do. All but {@link #FREE} is for measuring what each freedom brings.
 *
 * @param overlap whether a stage begins with what there is while the one before is still at work,
 *     or strictly after it
 * @param topology that every request must have; empty for whichever is predicted to be fastest
 */
public record PlacementRules(boolean overlap, Optional<Topology> topology, Sharding sharding) {
  public static final PlacementRules FREE =
      new PlacementRules(true, Optional.empty(), Sharding.TILES);

  public PlacementRules {
    requireNonNull(topology, "topology is null");
    requireNonNull(sharding, "sharding is null");
  }
}
