package io.epidote.cli.chaos;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Supplier;

/**
 * Proxies between the members of a cluster on this machine. A node listens on 127.0.0.1 and is
 * reached, at the same ports, at an address of its own in 127.0.1.0/24, where its proxy is; it
 * reaches the router through one in 127.0.2.0/24. So every connection between members passes one.
 */
public final class ProxyNetwork implements Network, AutoCloseable {
  private static final String LISTEN = "127.0.0.1";

  /** Ports for pulls come after those for calls. */
  private static final int PORTS = 2;

  private static final int ATTEMPTS = 100;
  private static final int FIRST_PORT = 12_000;
  private static final int LAST_PORT = 32_000;

  private final LinkRules rules = new LinkRules();
  private final SocketOwners owners;
  private final Map<String, List<FaultProxy>> proxies = new HashMap<>();
  private final long seed;

  /**
   * @param members names by process id, as they are now
   */
  public ProxyNetwork(Supplier<Map<Long, String>> members, long seed) {
    this.owners = new SocketOwners(members);
    this.seed = seed;
  }

  /**
   * How a node is to be started.
   *
   * @param bind to listen on
   * @param host to advertise
   * @param port for both
   * @param router at which it finds the router
   */
  public record Place(String bind, String host, int port, String router) {}

  /**
   * Puts proxies around a node.
   *
   * @param router host:port of its gRPC port
   */
  public Place place(String node, String router) {
    int number = proxies.size() + 1;
    String host = "127.0.1." + number;
    int port = freePorts();
    List<FaultProxy> own = new ArrayList<>();
    proxies.put(node, own);
    for (int i = 0; i < PORTS; i++) {
      own.add(
          new FaultProxy(
              new InetSocketAddress(host, port + i),
              new InetSocketAddress(LISTEN, port + i),
              node,
              owners::of,
              i == 1,
              rules,
              seed + number * 1000L + i));
    }
    int routerPort = Integer.parseInt(router.substring(router.lastIndexOf(':') + 1));
    InetSocketAddress toRouter = new InetSocketAddress("127.0.2." + number, routerPort);
    own.add(
        new FaultProxy(
            toRouter,
            new InetSocketAddress(LISTEN, routerPort),
            FaultSchedule.ROUTER,
            _ -> node,
            false,
            rules,
            seed + number * 1000L + PORTS));
    return new Place(LISTEN, host, port, toRouter.getHostString() + ":" + routerPort);
  }

  /**
   * The first of two neighbouring ports that nobody listens on. They are none of those that Linux
   * gives to connections, or one could have them while a node is away that comes back to them.
   */
  public static int freePorts() {
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
      int port = ThreadLocalRandom.current().nextInt(FIRST_PORT, LAST_PORT);
      try (ServerSocket first = new ServerSocket(port, 1, InetAddress.getByName(LISTEN))) {
        try (ServerSocket second = new ServerSocket(port + 1, 1, InetAddress.getByName(LISTEN))) {
          return port;
        }
      } catch (IOException e) {
        // The next one is taken: try elsewhere.
      }
    }
    throw new Unavailable("No two neighbouring ports are free on " + LISTEN);
  }

  @Override
  public boolean does(FaultKind kind) {
    return kind != FaultKind.LOSS;
  }

  @Override
  public String needs(FaultKind kind) {
    return "a proxy cannot lose packets; add --hosts";
  }

  @Override
  public void begin(Fault fault) {
    if (fault.kind() == FaultKind.CUT) {
      proxies.forEach((node, own) -> {
        if (fault.targets().isEmpty() || fault.targets().contains(node)) {
          own.forEach(FaultProxy::cut);
        }
      });
    } else {
      rules.begin(fault);
    }
  }

  @Override
  public void end(Fault fault) {
    rules.end(fault);
  }

  @Override
  public void close() {
    proxies.values().forEach(own -> own.forEach(FaultProxy::close));
  }
}
