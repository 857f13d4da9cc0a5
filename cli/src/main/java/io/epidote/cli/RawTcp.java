package io.epidote.cli;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * What a transfer is measured against: the same bytes from the same blocks to the same blocks, over
 * a plain TCP connection of Java NIO; one thread writes, one reads, and nothing else is done.
 */
final class RawTcp {
  private RawTcp() {}

  /**
   * Moves the bytes once over a connection of its own.
   *
   * @param sources parts of blocks, in order
   * @param destinations as many bytes
   * @param callBytes what one call to the system writes or reads at most
   * @return 10^9 bytes a second, connecting not counted
   */
  static double move(List<ByteBuffer> sources, List<ByteBuffer> destinations, int callBytes)
      throws IOException {
    try (ServerSocketChannel listener = ServerSocketChannel.open()) {
      listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
      try (SocketChannel reader = SocketChannel.open(listener.getLocalAddress());
          SocketChannel writer = listener.accept()) {
        List<ByteBuffer[]> writes = calls(sources, callBytes);
        List<ByteBuffer[]> reads = calls(destinations, callBytes);
        long start = System.nanoTime();
        CompletableFuture<Void> written = CompletableFuture.runAsync(() -> write(writer, writes));
        long bytes = read(reader, reads);
        double seconds = (System.nanoTime() - start) / 1e9;
        written.join();
        return bytes / seconds / 1e9;
      }
    }
  }

  private static List<ByteBuffer[]> calls(List<ByteBuffer> parts, int callBytes) {
    List<ByteBuffer[]> calls = new ArrayList<>();
    List<ByteBuffer> call = new ArrayList<>();
    long bytes = 0;
    for (ByteBuffer part : parts) {
      call.add(part.duplicate());
      bytes += part.remaining();
      if (bytes >= callBytes) {
        calls.add(call.toArray(ByteBuffer[]::new));
        call.clear();
        bytes = 0;
      }
    }
    if (!call.isEmpty()) {
      calls.add(call.toArray(ByteBuffer[]::new));
    }
    return calls;
  }

  private static void write(SocketChannel channel, List<ByteBuffer[]> calls) {
    try {
      for (ByteBuffer[] parts : calls) {
        while (parts[parts.length - 1].hasRemaining()) {
          channel.write(parts);
        }
      }
    } catch (IOException e) {
      throw new IllegalStateException("The raw connection broke: " + e.getMessage(), e);
    }
  }

  private static long read(SocketChannel channel, List<ByteBuffer[]> calls) throws IOException {
    long bytes = 0;
    for (ByteBuffer[] parts : calls) {
      while (parts[parts.length - 1].hasRemaining()) {
        long read = channel.read(parts);
        if (read < 0) {
          throw new IOException("the raw connection ended early");
        }
        bytes += read;
      }
    }
    return bytes;
  }
}
