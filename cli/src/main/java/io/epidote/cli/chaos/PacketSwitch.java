package io.epidote.cli.chaos;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The network between hosts: carries packets of IPv4 from one's interface to another's by their
 * destination, and loses, delays or withholds them as the rules say. It does what {@code tc netem}
 * does where a kernel has it, for each pair of hosts by itself.
 */
final class PacketSwitch implements AutoCloseable {
  private static final int HEADER = 20;
  private static final int DESTINATION = 16;

  private record Port(String member, TunDevice device) {}

  private final LinkRules rules;
  private final Map<Integer, Port> ports = new HashMap<>();
  private final List<Thread> threads = new java.util.ArrayList<>();
  private final ScheduledThreadPoolExecutor later =
      new ScheduledThreadPoolExecutor(
          1, Thread.ofPlatform().daemon().name("packets-delayed").factory());
  private final Arena arena = Arena.ofShared();
  private final long seed;

  PacketSwitch(LinkRules rules, long seed) {
    this.rules = rules;
    this.seed = seed;
  }

  /**
   * Before {@link #start}.
   *
   * @param member to whom rules apply; empty: to whom none do
   * @param lastByte of its address, by which it is found
   */
  void add(String member, int lastByte, TunDevice device) {
    ports.put(lastByte, new Port(member, device));
  }

  void start() {
    ports.forEach((number, port) ->
        threads.add(
            Thread.ofPlatform()
                .daemon()
                .name("packets-" + port.device().name())
                .start(() -> carry(port, new SplittableRandom(seed + number)))));
  }

  private void carry(Port from, SplittableRandom random) {
    MemorySegment packet = arena.allocate(TunDevice.MAX_PACKET);
    MemorySegment state = TunDevice.state(arena);
    for (int bytes = from.device().read(state, packet);
        bytes >= 0;
        bytes = from.device().read(state, packet)) {
      Port to = destination(packet, bytes);
      if (to == null || lost(from, to, random)) {
        continue;
      }
      long delay = exempt(from, to) ? 0 : rules.delayNanos(from.member(), to.member());
      if (delay == 0) {
        to.device().write(state, packet, bytes);
      } else {
        byte[] copy = packet.asSlice(0, bytes).toArray(ValueLayout.JAVA_BYTE);
        later.schedule(() -> write(to, copy), delay, TimeUnit.NANOSECONDS);
      }
    }
  }

  private @Nullable Port destination(MemorySegment packet, int bytes) {
    boolean ip4 = bytes >= HEADER && (packet.get(ValueLayout.JAVA_BYTE, 0) >> 4 & 15) == 4;
    return ip4 ? ports.get(packet.get(ValueLayout.JAVA_BYTE, DESTINATION + 3) & 255) : null;
  }

  private boolean lost(Port from, Port to, SplittableRandom random) {
    return !exempt(from, to)
        && (!rules.isOpen(from.member(), to.member())
            || random.nextDouble() < rules.loss(from.member(), to.member()));
  }

  private static boolean exempt(Port from, Port to) {
    return from.member().isEmpty() || to.member().isEmpty();
  }

  private void write(Port to, byte[] packet) {
    try (Arena mine = Arena.ofConfined()) {
      to.device()
          .write(
              TunDevice.state(mine),
              mine.allocateFrom(ValueLayout.JAVA_BYTE, packet),
              packet.length);
    }
  }

  /** Called when all interfaces are gone, so that nobody reads any more. */
  @Override
  public void close() {
    later.shutdownNow();
    try {
      later.awaitTermination(1, TimeUnit.SECONDS);
      for (Thread thread : threads) {
        thread.join(2000);
      }
      if (threads.stream().noneMatch(Thread::isAlive)) {
        arena.close();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    ports.values().forEach(port -> port.device().close());
  }
}
