package io.epidote.router.adapters;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.AdapterRoots;
import io.epidote.proto.v1.AdapterStatus;
import io.epidote.proto.v1.LoadAdapterRequest;
import io.epidote.proto.v1.LoadAdapterResponse;
import io.epidote.proto.v1.NodeAdapters;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.SettleAdapterRequest;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.UnloadAdapterRequest;
import io.epidote.proto.v1.UnloadAdapterResponse;
import io.epidote.router.cluster.Cluster;
import io.epidote.router.cluster.Member;
import io.epidote.router.cluster.RegistryEndpoint;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.WeakHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Adapters of the whole cluster. A change is made on every node that prefills or decodes, or on
 * none: a load is checked everywhere, then made everywhere while each node keeps what it had, then
 * settled, or taken back where one node failed. What was loaded here is remembered, and given to
 * nodes that come later. Calls block. Thread-safe.
 */
public final class ClusterAdapters implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(ClusterAdapters.class);
  private static final Duration FRESH = Duration.ofSeconds(2);

  /** How long requests may take from prefill to decode before a change goes on without them. */
  private static final Duration ARRIVING = Duration.ofMinutes(1);

  private static final Duration TICK = Duration.ofMillis(500);

  private final Cluster cluster;
  private final RegistryEndpoint registry;
  private final AdapterRoots roots;
  private final AdapterGate gate;
  private final ScheduledExecutorService keeper =
      Executors.newSingleThreadScheduledExecutor(
          Thread.ofPlatform().daemon().name("adapter-keeper").factory());

  /** One change at a time, or two of one name would each win on some nodes. */
  private final ReentrantLock changing = new ReentrantLock();

  /** What was loaded here, by name; guarded by {@link #changing}. */
  private final Map<String, Known> known = new TreeMap<>();

  /** What could not be given to a node, which is not tried again; likewise. */
  private final Map<Member, Set<Known>> refused = new WeakHashMap<>();

  private record Known(String name, String folder, String digest) {}

  /**
   * @param roots of folders that may be loaded
   * @param gate that requests go through
   */
  public ClusterAdapters(
      Cluster cluster, RegistryEndpoint registry, AdapterRoots roots, AdapterGate gate) {
    this.cluster = requireNonNull(cluster, "cluster is null");
    this.registry = requireNonNull(registry, "registry is null");
    this.roots = requireNonNull(roots, "roots is null");
    this.gate = requireNonNull(gate, "gate is null");
  }

  /**
   * Begins to look after nodes that join.
   *
   * @param beside runs now and then on the same thread
   */
  public void start(Runnable beside) {
    keeper.scheduleWithFixedDelay(
        () -> {
          try {
            beside.run();
            bringUpToDate();
          } catch (RuntimeException e) {
            log.warn("Adapters could not be looked after; it is tried again", e);
          }
        },
        TICK.toMillis(),
        TICK.toMillis(),
        TimeUnit.MILLISECONDS);
  }

  /**
   * Loads an adapter on all nodes, or on none.
   *
   * @throws EpidoteException naming the node that could not, and why
   */
  public LoadAdapterResponse load(LoadAdapterRequest asked) {
    String folder = roots.check(asked.getFolder()).toString();
    LoadAdapterRequest request = asked.toBuilder().setFolder(folder).setHold(true).build();
    return changed(() -> {
      List<Member> nodes = nodes();
      NodeCalls<LoadAdapterResponse> checked =
          NodeCalls.all(
              nodes, stub -> stub.loadAdapter(request.toBuilder().setCheckOnly(true).build()));
      checked.orFail();
      String digest = sameDigest(checked);
      if (request.getCheckOnly()) {
        return merged(checked);
      }
      NodeCalls<LoadAdapterResponse> loaded =
          apart(request.getName(), () -> make(nodes, request, digest));
      loaded.orFail();
      if (!allHave(loaded, digest)) {
        throw new EpidoteException.BadCheckpoint(
            "%s changed while it was loaded; load it again".formatted(folder));
      }
      known.put(request.getName(), new Known(request.getName(), folder, digest));
      return merged(loaded);
    });
  }

  /** The second phase: all nodes load, or are as they were. */
  private static NodeCalls<LoadAdapterResponse> make(
      List<Member> nodes, LoadAdapterRequest request, String digest) {
    NodeCalls<LoadAdapterResponse> loaded = NodeCalls.all(nodes, stub -> stub.loadAdapter(request));
    boolean made = loaded.failed().isEmpty() && allHave(loaded, digest);
    settle(nodes, request.getName(), loaded, digest, made);
    return loaded;
  }

  /** Makes a change while no request is between two nodes that it changes. */
  private <T> T apart(String adapter, Supplier<T> change) {
    try {
      if (!gate.pause(adapter, ARRIVING)) {
        log.warn(
            "Requests of adapter {} are on their way since {}; those may fail", adapter, ARRIVING);
      }
      T made = change.get();
      registry.freshLoad(FRESH);
      return made;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new EpidoteException.Unavailable("The router is shutting down.", e);
    } finally {
      gate.resume(adapter);
    }
  }

  /**
   * Ends the second phase. A node whose answer did not come may have made the change all the same,
   * so all are told.
   */
  private static void settle(
      List<Member> nodes,
      String name,
      NodeCalls<LoadAdapterResponse> loaded,
      String digest,
      boolean keep) {
    Map<Member, String> digests =
        loaded.outcomes().stream()
            .filter(outcome -> !outcome.failed())
            .collect(
                Collectors.toMap(
                    NodeCalls.Outcome::node, outcome -> digest(outcome.response().getFirst())));
    for (Member node : nodes) {
      SettleAdapterRequest request =
          SettleAdapterRequest.newBuilder()
              .setName(name)
              .setDigest(digests.getOrDefault(node, digest))
              .setKeep(keep)
              .build();
      NodeCalls.all(List.of(node), stub -> stub.settleAdapter(request))
          .failed()
          .forEach(outcome ->
              log.warn(
                  "The load of adapter {} could not be {}: {}",
                  name,
                  keep ? "settled" : "taken back",
                  NodeCalls.named(outcome).getMessage()));
    }
  }

  /**
   * Lets no request begin on an adapter any more.
   *
   * @throws EpidoteException.NotFound when no node has it
   */
  public void unload(String name) {
    var unused =
        changed(() -> {
          known.remove(name);
          UnloadAdapterRequest request = UnloadAdapterRequest.newBuilder().setName(name).build();
          NodeCalls<UnloadAdapterResponse> calls =
              apart(name, () -> NodeCalls.all(nodes(), stub -> stub.unloadAdapter(request)));
          // Nodes that never had it are as they should be.
          List<NodeCalls.Outcome<UnloadAdapterResponse>> failed =
              calls.failed().stream()
                  .filter(outcome -> !(outcome.error() instanceof EpidoteException.NotFound))
                  .toList();
          new NodeCalls<>(failed).orFail();
          if (calls.responses().isEmpty()) {
            calls.orFail();
          }
          return calls;
        });
  }

  /** What each node has, asked now. */
  public List<NodeAdapters> list() {
    List<NodeAdapters> all = new ArrayList<>();
    for (NodeStatus status : registry.freshLoad(FRESH)) {
      if (runsDecoder(status.getStagesList())) {
        all.add(
            NodeAdapters.newBuilder()
                .setNodeId(status.getNodeId())
                .addAllAdapters(status.getAdaptersList())
                .build());
      }
    }
    return all;
  }

  /** Gives nodes what was loaded before they came. */
  private void bringUpToDate() {
    changing.lock();
    try {
      boolean any = false;
      for (Member node : cluster.members()) {
        if (runsDecoder(node.stages())) {
          for (Known adapter : known.values()) {
            any |= give(node, adapter);
          }
        }
      }
      if (any) {
        registry.freshLoad(FRESH);
      }
    } finally {
      changing.unlock();
    }
  }

  private boolean give(Member node, Known adapter) {
    boolean has =
        node.status().getAdaptersList().stream()
            .anyMatch(there ->
                there.getName().equals(adapter.name())
                    && there.getDigest().equals(adapter.digest()));
    Set<Known> not = refused.computeIfAbsent(node, _ -> new HashSet<>());
    if (has || not.contains(adapter)) {
      return false;
    }
    LoadAdapterRequest request =
        LoadAdapterRequest.newBuilder()
            .setName(adapter.name())
            .setFolder(adapter.folder())
            .setReplace(true)
            .build();
    NodeCalls<LoadAdapterResponse> checked =
        NodeCalls.all(
            List.of(node),
            stub -> stub.loadAdapter(request.toBuilder().setCheckOnly(true).build()));
    String why = "";
    if (!checked.failed().isEmpty()) {
      why = String.valueOf(checked.failed().getFirst().error().getMessage());
    } else if (!digest(checked.responses().getFirst()).equals(adapter.digest())) {
      why = "%s is not what it was when it was loaded".formatted(adapter.folder());
    } else {
      NodeCalls<LoadAdapterResponse> loaded =
          apart(
              adapter.name(),
              () -> NodeCalls.all(List.of(node), stub -> stub.loadAdapter(request)));
      if (!loaded.failed().isEmpty()) {
        why = String.valueOf(loaded.failed().getFirst().error().getMessage());
      }
    }
    if (!why.isEmpty()) {
      not.add(adapter);
      log.warn(
          "Node {} joined without adapter {}, which others have: {}. Load it again when that is set right.",
          node.id(),
          adapter.name(),
          why);
      return false;
    }
    log.info("Node {} has adapter {} now, as the others", node.id(), adapter.name());
    return true;
  }

  /** Makes a change, and lets requests know of it before its caller does. */
  private <T> T changed(Supplier<T> change) {
    changing.lock();
    try {
      return change.get();
    } finally {
      refused.clear();
      registry.freshLoad(FRESH);
      changing.unlock();
    }
  }

  private static boolean runsDecoder(Iterable<Stage> stages) {
    for (Stage stage : stages) {
      if (stage == Stage.STAGE_PREFILL || stage == Stage.STAGE_DECODE) {
        return true;
      }
    }
    return false;
  }

  private List<Member> nodes() {
    List<Member> nodes =
        cluster.members().stream().filter(member -> runsDecoder(member.stages())).toList();
    if (nodes.isEmpty()) {
      throw new EpidoteException.Unavailable(
          Cluster.missingMessage(List.of(Stage.STAGE_PREFILL, Stage.STAGE_DECODE)));
    }
    return nodes;
  }

  private static String digest(LoadAdapterResponse response) {
    AdapterStatus adapter = response.getNodes(0).getAdapters(0);
    return adapter.getDigest();
  }

  private static boolean allHave(NodeCalls<LoadAdapterResponse> loaded, String digest) {
    return loaded.responses().stream().allMatch(response -> digest(response).equals(digest));
  }

  /** The same name must mean the same weights everywhere. */
  private static String sameDigest(NodeCalls<LoadAdapterResponse> checked) {
    String first = digest(checked.responses().getFirst());
    for (NodeCalls.Outcome<LoadAdapterResponse> outcome : checked.outcomes()) {
      if (!digest(outcome.response().getFirst()).equals(first)) {
        throw new EpidoteException.InvalidRequest(
            "Node %s has another adapter in that folder than node %s; copy the same folder to all nodes."
                .formatted(outcome.node().id(), checked.outcomes().getFirst().node().id()));
      }
    }
    return first;
  }

  private static LoadAdapterResponse merged(NodeCalls<LoadAdapterResponse> calls) {
    LoadAdapterResponse.Builder all = LoadAdapterResponse.newBuilder();
    calls.responses().forEach(response -> all.addAllNodes(response.getNodesList()));
    return all.build();
  }

  @Override
  public void close() {
    keeper.shutdownNow();
  }
}
