package io.epidote.router.cluster;

import io.epidote.router.cluster.Member.Seat;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Which node does what for one request.
 *
 * @param encode null when there is nothing to encode
 */
public record Placement(@Nullable Seat encode, Seat prefill, Seat decode) {
  /** Gives every seat back that is not given back yet. */
  public void release() {
    Stream.of(prefill, decode).forEach(Seat::release);
    if (encode != null) {
      encode.release();
    }
  }
}
