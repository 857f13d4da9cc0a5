package io.epidote.planner;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * How many nodes of which stages, a device each.
 *
 * @param e encode
 * @param p prefill
 * @param d decode
 * @param ep encode and prefill
 * @param pd prefill and decode
 * @param epd everything
 */
public record Layout(int e, int p, int d, int ep, int pd, int epd) {
  public int devices() {
    return e + p + d + ep + pd + epd;
  }

  /** Nodes by the letters of their stages, as {@code up --nodes} takes them. */
  public List<String> nodes() {
    List<String> nodes = new ArrayList<>();
    nodes.addAll(Collections.nCopies(e, "E"));
    nodes.addAll(Collections.nCopies(ep, "EP"));
    nodes.addAll(Collections.nCopies(p, "P"));
    nodes.addAll(Collections.nCopies(pd, "PD"));
    nodes.addAll(Collections.nCopies(d, "D"));
    nodes.addAll(Collections.nCopies(epd, "EPD"));
    return nodes;
  }

  /** For people, for example {@code 6 E, 1 P, 1 D}. */
  public String word() {
    List<String> parts = new ArrayList<>();
    List<String> nodes = nodes();
    for (String kind : nodes.stream().distinct().toList()) {
      parts.add(Collections.frequency(nodes, kind) + " " + kind);
    }
    return String.join(", ", parts);
  }

  /**
   * Nodes that have any of these stages.
   *
   * @param encode whether encode is one of them, and so on
   */
  int withAny(boolean encode, boolean prefill, boolean decode) {
    return epd
        + (encode ? e : 0)
        + (prefill ? p : 0)
        + (decode ? d : 0)
        + (encode || prefill ? ep : 0)
        + (prefill || decode ? pd : 0);
  }

  /** Whether it can serve. */
  boolean serves(boolean media) {
    return withAny(false, true, false) > 0
        && withAny(false, false, true) > 0
        && (!media || withAny(true, false, false) > 0);
  }

  int[] counts() {
    return new int[] {e, p, d, ep, pd, epd};
  }

  static Layout of(int[] counts) {
    return new Layout(counts[0], counts[1], counts[2], counts[3], counts[4], counts[5]);
  }
}
