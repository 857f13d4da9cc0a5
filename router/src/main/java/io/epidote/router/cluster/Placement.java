package io.epidote.router.cluster;

import io.epidote.router.cluster.Member.Seat;
import java.util.stream.Stream;

/** Which nodes prefill and decode for one request. */
public record Placement(Seat prefill, Seat decode) {
  /** Gives every seat back that is not given back yet. */
  public void release() {
    Stream.of(prefill, decode).forEach(Seat::release);
  }
}
