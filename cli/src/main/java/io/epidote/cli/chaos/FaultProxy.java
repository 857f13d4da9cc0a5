package io.epidote.cli.chaos;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Arrays;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;

/**
 * A TCP port in front of another, which passes on what comes as the rules say: later, not before a
 * partition is over, with bits flipped, or not at all because its connections are reset. As behind
 * a real partition, connections stay and what was on its way arrives afterwards; new ones are taken
 * and nothing comes of them.
 */
final class FaultProxy implements AutoCloseable {
  private static final int CHUNK = 64 << 10;
  private static final int CONNECT_MS = 5000;

  /** Chunks that wait in a direction of a connection. */
  private static final int WAITING = 64;

  private static final byte[] END = new byte[0];

  private final ServerSocket server;
  private final InetSocketAddress destination;
  private final String behind;
  private final Function<Socket, String> caller;
  private final boolean bulk;
  private final LinkRules rules;
  private final AtomicLong seeds;
  private final Set<Socket> open = ConcurrentHashMap.newKeySet();
  private volatile boolean closed;

  /**
   * Starts to listen.
   *
   * @param behind the member that answers behind it
   * @param caller tells who connects
   * @param bulk whether corruption is done here: what carries checksums of its own
   */
  FaultProxy(
      InetSocketAddress listen,
      InetSocketAddress destination,
      String behind,
      Function<Socket, String> caller,
      boolean bulk,
      LinkRules rules,
      long seed) {
    this.destination = destination;
    this.behind = behind;
    this.caller = caller;
    this.bulk = bulk;
    this.rules = rules;
    this.seeds = new AtomicLong(seed);
    try {
      this.server =
          new ServerSocket(listen.getPort(), 128, InetAddress.getByName(listen.getHostString()));
    } catch (IOException e) {
      throw new Unavailable(
          "The proxy cannot listen on %s: %s".formatted(listen, e.getMessage()), e);
    }
    Thread.ofPlatform().daemon().name("proxy-" + behind).start(this::accept);
  }

  private void accept() {
    while (!closed) {
      try {
        Socket client = server.accept();
        open.add(client);
        Thread.ofVirtual().start(() -> join(client));
      } catch (IOException e) {
        if (!closed) {
          System.err.println("epidote: a proxy takes no connections: " + e.getMessage());
        }
        return;
      }
    }
  }

  private void join(Socket client) {
    String who = caller.apply(client);
    try {
      rules.awaitOpen(who, behind);
      Socket node = new Socket();
      open.add(node);
      node.connect(destination, CONNECT_MS);
      client.setTcpNoDelay(true);
      node.setTcpNoDelay(true);
      pass(client, node, who, who);
      pass(node, client, who, behind);
    } catch (IOException e) {
      // Nobody is behind: the client is to see what it would see without a proxy.
      reset(client);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private record Piece(byte[] bytes, long due) {}

  /** One direction: what is read waits for its time in between. */
  private void pass(Socket from, Socket to, String who, String sender) {
    BlockingQueue<Piece> way = new ArrayBlockingQueue<>(WAITING);
    SplittableRandom random = new SplittableRandom(seeds.incrementAndGet());
    Thread writer = Thread.ofVirtual().start(() -> write(way, from, to, who));
    Thread.ofVirtual()
        .start(() -> {
          byte[] buffer = new byte[CHUNK];
          try {
            InputStream in = from.getInputStream();
            for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
              byte[] bytes = Arrays.copyOf(buffer, read);
              if (bulk && sender.equals(behind) && random.nextDouble() < rules.corruption(behind)) {
                bytes[random.nextInt(read)] ^= (byte) (1 << random.nextInt(8));
              }
              put(way, new Piece(bytes, System.nanoTime() + rules.delayNanos(who, behind)), to);
            }
            put(way, new Piece(END, System.nanoTime()), to);
          } catch (IOException e) {
            broken(from, to, who, writer);
          } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
          }
        });
  }

  private static void put(BlockingQueue<Piece> way, Piece piece, Socket to)
      throws IOException, InterruptedException {
    while (!way.offer(piece, 1, TimeUnit.SECONDS)) {
      if (to.isClosed()) {
        throw new IOException("nobody takes it any more");
      }
    }
  }

  /** The other side hears of a broken connection when anything gets through to it. */
  private void broken(Socket from, Socket to, String who, Thread writer) {
    try {
      rules.awaitOpen(who, behind);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    writer.interrupt();
    reset(from);
    reset(to);
  }

  private void write(BlockingQueue<Piece> way, Socket from, Socket to, String who) {
    try {
      OutputStream out = to.getOutputStream();
      while (true) {
        Piece piece = way.take();
        long wait = piece.due() - System.nanoTime();
        if (wait > 0) {
          TimeUnit.NANOSECONDS.sleep(wait);
        }
        rules.awaitOpen(who, behind);
        if (piece.bytes().length == 0) {
          to.shutdownOutput();
          if (from.isOutputShutdown()) {
            close(from);
            close(to);
          }
          return;
        }
        out.write(piece.bytes());
      }
    } catch (IOException e) {
      reset(from);
      reset(to);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void reset(Socket socket) {
    try {
      socket.setSoLinger(true, 0);
    } catch (IOException e) {
      // It is closed already.
    }
    close(socket);
  }

  private void close(Socket socket) {
    open.remove(socket);
    try {
      socket.close();
    } catch (IOException e) {
      // It is of no use any more, which is what was wanted.
    }
  }

  /** Resets every connection. */
  void cut() {
    open.forEach(this::reset);
  }

  @Override
  public void close() {
    closed = true;
    try {
      server.close();
    } catch (IOException e) {
      // Nobody can connect any more, which is what was wanted.
    }
    cut();
  }
}
