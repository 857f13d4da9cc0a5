package io.epidote.router.cluster;

import io.epidote.engine.error.EpidoteException;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/** Which stages of a request share a node: a plus is where bytes move from one to another. */
public enum Topology {
  EPD("EPD", true, 0),
  EP_D("EP+D", true, 1),
  E_PD("E+PD", true, 1),
  E_P_D("E+P+D", true, 2),
  PD("PD", false, 0),
  P_D("P+D", false, 1);

  private final String label;
  private final boolean encodes;
  private final int hops;

  Topology(String label, boolean encodes, int hops) {
    this.label = label;
    this.encodes = encodes;
    this.hops = hops;
  }

  /**
   * @param mediaHop whether media tokens move between nodes
   * @param kvHop whether KV blocks do
   */
  static Topology of(boolean encodes, boolean mediaHop, boolean kvHop) {
    if (!encodes) {
      return kvHop ? P_D : PD;
    }
    if (mediaHop) {
      return kvHop ? E_P_D : E_PD;
    }
    return kvHop ? EP_D : EPD;
  }

  /** The same for a request without media. */
  Topology withoutEncode() {
    return of(false, false, this == EP_D || this == E_P_D || this == P_D);
  }

  int hops() {
    return hops;
  }

  /** For example {@code E+PD}. */
  public String label() {
    return label;
  }

  /** The topologies that a router can be held to; requests without media leave out the E. */
  public static List<Topology> choices() {
    return Arrays.stream(values()).filter(topology -> topology.encodes).toList();
  }

  /**
   * Reads a label of {@link #choices}.
   *
   * @throws EpidoteException.InvalidRequest naming the labels
   */
  public static Topology parse(String label) {
    return choices().stream()
        .filter(topology -> topology.label.equalsIgnoreCase(label))
        .findFirst()
        .orElseThrow(() ->
            new EpidoteException.InvalidRequest(
                "\"%s\" is not a topology; expected auto or one of %s."
                    .formatted(
                        label,
                        choices().stream()
                            .map(Topology::label)
                            .collect(Collectors.joining(", ")))));
  }
}
