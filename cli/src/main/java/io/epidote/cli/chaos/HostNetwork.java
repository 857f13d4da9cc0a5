package io.epidote.cli.chaos;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Hosts on one machine: a network namespace for each member, with an address of its own and one
 * interface to {@link PacketSwitch}. Needs Linux, root and {@code ip}; what an earlier command left
 * behind that was killed is removed first.
 */
public final class HostNetwork implements Network, AutoCloseable {
  private static final String PREFIX = "epidote-";
  private static final Path NAMESPACES = Path.of("/run/netns");

  /** The first three bytes of addresses; tests of several commands at a time take others. */
  private static final String NETWORK = "10.213.";

  private static final int MTU = 1500;

  private final LinkRules rules = new LinkRules();
  private final PacketSwitch carrier;
  private final String network;
  private final long pid = ProcessHandle.current().pid();
  private final Map<String, String> addresses = new HashMap<>();
  private final List<String> namespaces = new ArrayList<>();
  private final List<TunDevice> devices = new ArrayList<>();

  private HostNetwork(long seed) {
    this.carrier = new PacketSwitch(rules, seed);
    this.network = NETWORK + (pid % 250) + ".";
  }

  /**
   * Makes a host for each member.
   *
   * @param members names, the router's too
   * @throws Unavailable where this machine does not let it, says why
   */
  public static HostNetwork make(List<String> members, long seed) {
    check();
    sweep();
    HostNetwork made = new HostNetwork(seed);
    try {
      made.addThisProcess();
      members.forEach(made::addHost);
      made.carrier.start();
      return made;
    } catch (RuntimeException e) {
      made.close();
      throw e;
    }
  }

  private static void check() {
    if (!Files.isWritable(Path.of("/dev/net/tun"))) {
      throw new Unavailable(
          "--hosts needs /dev/net/tun, which is not here: load the kernel's tun, or leave --hosts out");
    }
    if (!"root".equals(System.getProperty("user.name"))) {
      throw new Unavailable(
          "--hosts makes network namespaces, which takes root: run it with sudo, or leave --hosts out");
    }
    try {
      SystemCommand.run("ip", "-V");
    } catch (Unavailable e) {
      throw new Unavailable(
          "--hosts needs the command ip (Debian: apt install iproute2): " + e.getMessage(), e);
    }
  }

  /** Removes namespaces whose command is gone. */
  private static void sweep() {
    if (!Files.isDirectory(NAMESPACES)) {
      return;
    }
    try (var names = Files.list(NAMESPACES)) {
      for (Path path : names.toList()) {
        String name = path.getFileName().toString();
        String[] words = name.split("-", 3);
        if (name.startsWith(PREFIX)
            && words.length == 3
            && words[1].matches("[0-9]+")
            && ProcessHandle.of(Long.parseLong(words[1])).isEmpty()) {
          SystemCommand.run("ip", "netns", "del", name);
        }
      }
    } catch (IOException e) {
      throw new Unavailable(NAMESPACES + " cannot be read: " + e.getMessage(), e);
    }
  }

  /** Clients are in this process, beside the cluster: no fault is done to their connections. */
  private void addThisProcess() {
    TunDevice device = device();
    SystemCommand.run("ip", "addr", "add", network + "1/24", "dev", device.name());
    up(List.of(), device);
    carrier.add("", 1, device);
  }

  private void addHost(String member) {
    String namespace = PREFIX + pid + "-" + member;
    TunDevice device = device();
    SystemCommand.run("ip", "netns", "add", namespace);
    namespaces.add(namespace);
    SystemCommand.run("ip", "link", "set", device.name(), "netns", namespace);
    int number = namespaces.size() + 1;
    String address = network + number;
    List<String> inside = List.of("-n", namespace);
    ip(inside, "addr", "add", address + "/24", "dev", device.name());
    ip(inside, "link", "set", "lo", "up");
    up(inside, device);
    addresses.put(member, address);
    carrier.add(member, number, device);
  }

  private TunDevice device() {
    TunDevice device = TunDevice.open("ep%d_%d".formatted(pid % 1_000_000, devices.size()));
    devices.add(device);
    return device;
  }

  private static void up(List<String> inside, TunDevice device) {
    ip(inside, "link", "set", device.name(), "mtu", Integer.toString(MTU), "up");
  }

  private static void ip(List<String> inside, String... words) {
    List<String> command = new ArrayList<>(List.of("ip"));
    command.addAll(inside);
    command.addAll(Arrays.asList(words));
    SystemCommand.run(command.toArray(String[]::new));
  }

  /** Of a member's host. */
  public String address(String member) {
    String address = addresses.get(member);
    if (address == null) {
      throw new IllegalArgumentException(member + " has no host");
    }
    return address;
  }

  /** What stands before a command that is to run on a member's host. */
  public List<String> on(String member) {
    return List.of("ip", "netns", "exec", PREFIX + pid + "-" + member);
  }

  @Override
  public boolean does(FaultKind kind) {
    return kind != FaultKind.CUT && kind != FaultKind.CORRUPT;
  }

  @Override
  public String needs(FaultKind kind) {
    return "with --hosts there are no proxies, which do that; leave --hosts out";
  }

  @Override
  public void begin(Fault fault) {
    rules.begin(fault);
  }

  @Override
  public void end(Fault fault) {
    rules.end(fault);
  }

  /** Removes hosts and interfaces; their processes have ended before. */
  @Override
  public synchronized void close() {
    List<String> problems = new ArrayList<>();
    // An interface that is gone ends its reader; the first one is this process's own.
    for (int i = 0; i < devices.size(); i++) {
      List<String> inside =
          i == 0 || i > namespaces.size() ? List.of() : List.of("-n", namespaces.get(i - 1));
      remove(problems, inside, "link", "del", devices.get(i).name());
    }
    devices.clear();
    namespaces.forEach(namespace -> remove(problems, List.of(), "netns", "del", namespace));
    namespaces.clear();
    carrier.close();
    problems.forEach(problem -> System.err.println("epidote: " + problem));
  }

  private static void remove(List<String> problems, List<String> inside, String... words) {
    try {
      ip(inside, words);
    } catch (Unavailable e) {
      problems.add(e.getMessage());
    }
  }
}
