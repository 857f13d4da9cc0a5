package io.epidote.router.cluster;

import io.epidote.router.cluster.Member.Seat;
import java.util.List;

/**
 * Which nodes work on one request.
 *
 * @param encodes who encodes which media; empty without media
 * @param predictedFirstTokenMs from now
 * @param kvEarly whether KV blocks are to move to the decode node before the prompt is done
 * @param waits whether other requests' work stands before this one's first token
 */
public record Placement(
    Topology topology,
    List<EncodeShard> encodes,
    Seat prefill,
    Seat decode,
    double predictedFirstTokenMs,
    boolean kvEarly,
    boolean waits) {
  public Placement {
    encodes = List.copyOf(encodes);
  }

  /** Whether the prefill node encodes media of this request, too. */
  public boolean encodesWherePrefilled() {
    return encodes.stream().anyMatch(shard -> shard.seat().member() == prefill.member());
  }

  /** Gives every seat back that is not given back yet. */
  public void release() {
    encodes.forEach(shard -> shard.seat().release());
    prefill.release();
    decode.release();
  }
}
