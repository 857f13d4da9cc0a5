package io.epidote.cli.chaos;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;
import java.nio.charset.StandardCharsets;

/**
 * A network interface of Linux whose other end is this process: what the system sends through it is
 * read here, packet by packet, and what is written here arrives there. It may be moved to another
 * network namespace. Needs root, or CAP_NET_ADMIN.
 */
final class TunDevice implements AutoCloseable {
  static final int MAX_PACKET = 1 << 16;

  private static final int O_RDWR = 2;
  private static final long TUNSETIFF = 0x400454caL;
  private static final short IFF_TUN_NO_PI = 0x1001;
  private static final int IFREQ_BYTES = 40;
  private static final int NAME_BYTES = 16;
  private static final int EINTR = 4;

  private static final Linker LINKER = Linker.nativeLinker();
  private static final StructLayout CAPTURED = Linker.Option.captureStateLayout();
  private static final VarHandle ERRNO =
      CAPTURED.varHandle(MemoryLayout.PathElement.groupElement("errno"));

  private static final MethodHandle OPEN =
      function(
          "open",
          2,
          FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT));
  private static final MethodHandle IOCTL =
      function(
          "ioctl",
          2,
          FunctionDescriptor.of(
              ValueLayout.JAVA_INT,
              ValueLayout.JAVA_INT,
              ValueLayout.JAVA_LONG,
              ValueLayout.ADDRESS));
  private static final FunctionDescriptor MOVE =
      FunctionDescriptor.of(
          ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_LONG);
  private static final MethodHandle READ = function("read", -1, MOVE);
  private static final MethodHandle WRITE = function("write", -1, MOVE);
  private static final MethodHandle CLOSE =
      function("close", -1, FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));

  private final String name;
  private final int file;

  private TunDevice(String name, int file) {
    this.name = name;
    this.file = file;
  }

  private static MethodHandle function(String name, int variadic, FunctionDescriptor of) {
    Linker.Option errno = Linker.Option.captureCallState("errno");
    return LINKER.downcallHandle(
        LINKER.defaultLookup().findOrThrow(name),
        of,
        variadic < 0
            ? new Linker.Option[] {errno}
            : new Linker.Option[] {errno, Linker.Option.firstVariadicArg(variadic)});
  }

  /**
   * Makes an interface; it is gone when this one is closed or the process ends.
   *
   * @param name at most 15 characters, used by no other interface
   */
  static TunDevice open(String name) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment state = arena.allocate(CAPTURED);
      int file = (int) OPEN.invokeExact(state, arena.allocateFrom("/dev/net/tun"), O_RDWR);
      if (file < 0) {
        throw refused("/dev/net/tun cannot be opened", state);
      }
      MemorySegment request = arena.allocate(IFREQ_BYTES);
      byte[] bytes = name.getBytes(StandardCharsets.US_ASCII);
      MemorySegment.copy(bytes, 0, request, ValueLayout.JAVA_BYTE, 0, bytes.length);
      request.set(ValueLayout.JAVA_SHORT, NAME_BYTES, IFF_TUN_NO_PI);
      if ((int) IOCTL.invokeExact(state, file, TUNSETIFF, request) < 0) {
        RuntimeException error = refused("The interface " + name + " cannot be made", state);
        var unused = (int) CLOSE.invokeExact(state, file);
        throw error;
      }
      return new TunDevice(name, file);
    } catch (RuntimeException e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("A function of the C library cannot be called", e);
    }
  }

  private static Unavailable refused(String what, MemorySegment state) {
    return new Unavailable(
        "%s (error %d of the system); hosts of their own need Linux with TUN, and root"
            .formatted(what, (int) ERRNO.get(state, 0L)));
  }

  String name() {
    return name;
  }

  /** What a thread reads and writes packets with. */
  static MemorySegment state(Arena arena) {
    return arena.allocate(CAPTURED);
  }

  /**
   * Waits for a packet.
   *
   * @param state of the calling thread
   * @return its bytes, or -1 when the interface is gone
   */
  int read(MemorySegment state, MemorySegment packet) {
    return move(READ, state, packet, packet.byteSize());
  }

  /** Hands a packet over; one that finds no room is lost, as on any network. */
  void write(MemorySegment state, MemorySegment packet, int bytes) {
    move(WRITE, state, packet, bytes);
  }

  private int move(MethodHandle how, MemorySegment state, MemorySegment packet, long bytes) {
    try {
      long moved;
      do {
        moved = (long) how.invokeExact(state, file, packet, bytes);
      } while (moved < 0 && (int) ERRNO.get(state, 0L) == EINTR);
      return (int) moved;
    } catch (Throwable e) {
      throw new AssertionError("A function of the C library cannot be called", e);
    }
  }

  /** Nobody may read or write meanwhile. */
  @Override
  public void close() {
    try (Arena arena = Arena.ofConfined()) {
      var unused = (int) CLOSE.invokeExact(arena.allocate(CAPTURED), file);
    } catch (Throwable e) {
      throw new AssertionError("A function of the C library cannot be called", e);
    }
  }
}
