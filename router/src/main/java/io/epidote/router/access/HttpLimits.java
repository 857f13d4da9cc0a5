package io.epidote.router.access;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.time.Duration;

/**
 * What connections to the HTTP port may take, so that clients that are slow, on purpose or not, are
 * no burden to others.
 *
 * @param maxConnections at a time; for one more, one of the address that has most goes: whoever has
 *     been without a request for longest, or else whose body comes slowest, if that is slower than
 *     {@code leastBytesPerSecond}
 * @param maxPerAddress of these, from one address; 0 is no bound
 * @param head within which a request's head must have come, from its first byte or the connection's
 *     begin
 * @param stall how long a body may go without a byte, and an answer without being read
 * @param idle how long a connection may be without a request after the first one
 * @param leastBytesPerSecond that a body must come with on average, once it has taken as long as it
 *     may stall
 */
public record HttpLimits(
    int maxConnections,
    int maxPerAddress,
    Duration head,
    Duration stall,
    Duration idle,
    int leastBytesPerSecond) {
  public static final HttpLimits DEFAULT =
      new HttpLimits(
          8192, 0, Duration.ofSeconds(10), Duration.ofSeconds(20), Duration.ofSeconds(120), 2048);

  public HttpLimits {
    if (maxConnections < 1 || maxPerAddress < 0) {
      throw new InvalidRequest(
          "%d connections, %d from an address, do not work; expected at least 1, and 0 for any number from an address"
              .formatted(maxConnections, maxPerAddress));
    }
  }

  public HttpLimits withConnections(int connections, int perAddress) {
    return new HttpLimits(connections, perAddress, head, stall, idle, leastBytesPerSecond);
  }

  /** The same with another patience for heads and bodies. */
  public HttpLimits withPatience(Duration headBound, Duration stallBound) {
    return new HttpLimits(
        maxConnections, maxPerAddress, headBound, stallBound, idle, leastBytesPerSecond);
  }
}
