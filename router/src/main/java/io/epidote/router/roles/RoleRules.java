package io.epidote.router.roles;

import java.time.Duration;

/**
 * How a router changes the roles of nodes.
 *
 * @param automatic whether it does so by itself
 * @param floor nodes that every stage keeps
 * @param atOnce nodes that may be switched at a time
 * @param cooldown from the end of a switch to the next decision
 * @param horizon over which a switch has to pay
 * @param drain how long a node's running requests may take to end before they go on elsewhere
 * @param shared whether nodes may be given encode and decode together
 */
public record RoleRules(
    boolean automatic,
    int floor,
    int atOnce,
    Duration cooldown,
    Duration horizon,
    Duration drain,
    boolean shared) {
  /** By hand only. */
  public static final RoleRules MANUAL =
      new RoleRules(
          false,
          1,
          3,
          Duration.ofSeconds(10),
          Duration.ofSeconds(30),
          Duration.ofSeconds(2),
          false);

  public RoleRules {
    if (floor < 1) {
      throw new IllegalArgumentException("a stage needs at least one node, not " + floor);
    }
    if (atOnce < 1) {
      throw new IllegalArgumentException("at least one node is switched at a time, not " + atOnce);
    }
  }
}
