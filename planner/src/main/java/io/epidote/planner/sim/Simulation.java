package io.epidote.planner.sim;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.TooLarge;
import io.epidote.engine.model.DecoderShape;
import io.epidote.planner.sim.ClusterShape.Host;
import io.epidote.planner.sim.ClusterShape.Room;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.epidote.planner.sim.PrefillModel.KvPart;
import io.epidote.planner.sim.Schedule.Sending;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.v1.Stage;
import io.epidote.router.cluster.EncodeShard;
import io.epidote.router.cluster.Member;
import io.epidote.router.cluster.Placement;
import io.epidote.router.cluster.VirtualCluster;
import io.epidote.router.roles.RolePolicy;
import io.epidote.router.roles.RoleRules;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A cluster that serves a schedule in virtual time: a router, nodes, and messages between them. The
 * same shape and schedule give the same outcome, to the bit. Belongs to one thread.
 */
public final class Simulation {
  private final Events events = new Events();
  private final ClusterShape shape;
  private final Host host;
  private final VirtualCluster cluster;
  private final Map<Member, NodeModel> nodes = new IdentityHashMap<>();
  private final Map<Request, Known> known = new HashMap<>();
  private final List<Flight> flights = new ArrayList<>();
  private final Schedule schedule;
  private final Targets targets;

  /** Of counted requests, how many may miss the targets before the rest does not matter. */
  private final long mayMiss;

  private int sent;
  private int ended;
  private long missed;

  /**
   * When no request has ended for so long, they wait for each other: load reports go on for ever.
   */
  private static final long MAX_WAIT_NANOS = 600_000_000_000L;

  private static final long DRAIN_LOOK_NANOS = 20_000_000;

  /**
   * Who switches nodes, and what it takes.
   *
   * @param rules of the policy, with how long a node may drain
   * @param loadMs from a drained node to one with other stages
   * @param onSwitch is told of each node when it has its new stage
   */
  public record Switching(RolePolicy policy, RoleRules rules, double loadMs, Runnable onSwitch) {}

  /** What is worked out once of all requests that are alike. */
  private record Known(List<MediaItem> items, int[][] spanOfTile) {}

  private Simulation(ClusterShape shape, Schedule schedule, Targets targets, double attainment) {
    this.shape = shape;
    this.host = shape.host();
    this.schedule = schedule;
    this.targets = targets;
    int counted = schedule.sendings().size() - schedule.warmUp();
    this.mayMiss = (long) Math.floor((1 - attainment) * counted + 1e-9);
    this.cluster = new VirtualCluster(shape.routing().rules(), events::now);
    shape.nodes().forEach(this::join);
  }

  private void join(ClusterShape.Node node) {
    NodeModel model = new NodeModel(events, shape, node);
    Member member = cluster.join(model.status());
    model.joined(member);
    nodes.put(member, model);
    // Nodes were not started at the same moment.
    double phase = (double) nodes.size() / shape.nodes().size() % 1;
    events.after(Math.round(phase * host.reportMs() * 1e6), () -> report(model));
  }

  /**
   * Serves all requests to their ends.
   *
   * @throws TooLarge when one of them does not even fit idle nodes
   */
  public static Outcome run(ClusterShape shape, Schedule schedule) {
    return new Simulation(shape, schedule, Targets.NONE, 0).run();
  }

  /**
   * The same with nodes that change their stages while they serve.
   *
   * @param switching who decides that, and what it takes
   * @throws TooLarge when a request does not even fit idle nodes
   */
  public static Outcome run(ClusterShape shape, Schedule schedule, Switching switching) {
    Simulation simulation = new Simulation(shape, schedule, Targets.NONE, 0);
    new RoleModel(simulation, switching).begin();
    return simulation.run();
  }

  /**
   * Whether at least this share of the requests meets the targets. Ends as soon as it cannot.
   *
   * @throws TooLarge when one of them does not even fit idle nodes
   */
  public static boolean meets(
      ClusterShape shape, Schedule schedule, Targets targets, double attainment) {
    return new Simulation(shape, schedule, targets, attainment).run().attainment(targets)
        >= attainment;
  }

  private Outcome run() {
    schedule.sendings().stream().map(Sending::request).distinct().forEach(this::checkFits);
    sendNext();
    int endedBefore = 0;
    long endedAt = 0;
    while (ended < schedule.sendings().size() && missed <= mayMiss) {
      boolean more = events.runNext();
      if (ended > endedBefore || ended == sent) {
        endedBefore = ended;
        endedAt = events.now();
      }
      if (!more || events.now() - endedAt > MAX_WAIT_NANOS) {
        throw new IllegalStateException(
            "%d of %d requests wait for ever".formatted(flights.size() - ended, flights.size()));
      }
    }
    return outcome();
  }

  /** Blocks that are held once everything is over: none. */
  static int blocksLeft(ClusterShape shape, Schedule schedule) {
    Simulation simulation = new Simulation(shape, schedule, Targets.NONE, 0);
    simulation.run();
    while (simulation.events.runNext()) {
      // What follows the last answer: pulls that are released.
    }
    return simulation.nodes.values().stream().mapToInt(NodeModel::blocksUsed).sum();
  }

  private void checkFits(Request request) {
    int sequence = DecoderShape.blocksFor(request.promptTokens() + request.answerTokens());
    for (ClusterShape.Node node : shape.nodes()) {
      Room room = shape.sizes().apply(node.stages());
      boolean decodes = node.has(Stage.STAGE_PREFILL) || node.has(Stage.STAGE_DECODE);
      boolean encodes = node.has(Stage.STAGE_ENCODE);
      if ((decodes && room.kv() < sequence)
          || (encodes && room.encodeTiles() < request.spans().size())
          || (node.has(Stage.STAGE_PREFILL) && room.prefillTiles() < request.spans().size())
          || request.promptTokens() + request.answerTokens() > shape.device().contextTokens()) {
        throw new TooLarge(
            "A request of %d tiles and %d tokens does not fit the node %s, which has %s"
                .formatted(
                    request.spans().size(),
                    request.promptTokens() + request.answerTokens(),
                    node.id(),
                    room));
      }
    }
  }

  private void report(NodeModel node) {
    node.execute(() -> {
      var status = node.status();
      events.after(host.hopNanos(), () -> cluster.report(node.member(), status));
    });
    if (isServing() && cluster.members().contains(node.member())) {
      events.after(Math.round(host.reportMs() * 1e6), () -> report(node));
    }
  }

  boolean isServing() {
    return ended < schedule.sendings().size();
  }

  Events events() {
    return events;
  }

  VirtualCluster cluster() {
    return cluster;
  }

  /**
   * A node takes no more requests, and gets other stages when those that it has are over, or were
   * taken from it.
   *
   * @param drainNanos how long they may take
   * @param loadNanos from then until it has its new stages
   */
  void exchange(Member member, Set<Stage> to, long drainNanos, long loadNanos, Runnable done) {
    NodeModel node = requireNonNull(nodes.get(member));
    if (to.containsAll(member.stages())) {
      events.after(loadNanos, () -> node.execute(() -> add(node, to, done)));
      return;
    }
    cluster.leave(member);
    drain(
        node,
        events.now() + drainNanos,
        () -> {
          if (node.has(Stage.STAGE_DECODE)) {
            node.execute(() -> node.decode().giveUp().forEach(this::goOn));
          }
          events.after(
              loadNanos,
              () -> {
                join(new ClusterShape.Node(node.id(), to));
                done.run();
              });
        });
  }

  /** Stages come to those of a node, which go on. A command of the node. */
  private void add(NodeModel node, Set<Stage> to, Runnable done) {
    node.add(new ClusterShape.Node(node.id(), to));
    cluster.leave(node.member());
    Member member = cluster.join(node.status());
    node.joined(member);
    nodes.put(member, node);
    done.run();
  }

  private void drain(NodeModel node, long until, Runnable then) {
    if (node.isIdle() || events.now() >= until) {
      then.run();
    } else {
      events.after(DRAIN_LOOK_NANOS, () -> drain(node, until, then));
    }
  }

  /** An answer lost its node: its prompt and the tokens that it has are prefilled again. */
  private void goOn(AnswerModel answer) {
    Flight flight = answer.flight;
    flight.placement.release();
    Request rest =
        new Request(
            List.of(),
            List.of(),
            flight.request.promptTokens() + answer.generated,
            flight.request.answerTokens() - answer.generated);
    events.after(2 * host.hopNanos(), () -> start(rest, flight.sentAt, flight));
  }

  private void sendNext() {
    if (sent < schedule.sendings().size()) {
      Sending next = schedule.sendings().get(sent++);
      long at = Math.max(events.now(), Math.round(next.ms() * 1e6));
      events.at(
          at,
          () -> {
            events.after(Math.round(host.requestMs() * 1e6), () -> place(next.request(), at));
            sendNext();
          });
    }
  }

  private void place(Request request, long sentAt) {
    cluster
        .demand()
        .arrived(
            request.tiles().size(),
            request.spans().size(),
            request.promptTokens(),
            request.answerTokens(),
            true);
    flights.add(start(request, sentAt, null));
  }

  private Flight start(Request request, long sentAt, @Nullable Flight goesOn) {
    Known like =
        known.computeIfAbsent(request, _ -> new Known(request.items(), request.spanOfTile()));
    Placement placement = cluster.place(like.items(), request.promptTokens());
    NodeModel prefill = requireNonNull(nodes.get(placement.prefill().member()));
    NodeModel decode = requireNonNull(nodes.get(placement.decode().member()));
    Flight flight = new Flight(request, placement, prefill, decode, sentAt, goesOn);
    boolean overlap = shape.routing().rules().overlap();
    boolean mediaFirst = !overlap || placement.encodesWherePrefilled();
    boolean kvLast = !placement.kvEarly();
    OptionalLong deadline = deadline(shape.routing().targets().ttftMs(), sentAt);
    events.after(
        host.hopNanos(),
        () ->
            prefill.execute(() ->
                prefill
                    .prefill()
                    .start(flight, mediaFirst, kvLast, deadline, new FromPrefill(flight))));
    new FromEncode(flight, like, deadline).askNext();
    return flight;
  }

  private static OptionalLong deadline(OptionalDouble ms, long from) {
    return ms.isPresent()
        ? OptionalLong.of(from + Math.round(ms.getAsDouble() * 1e6))
        : OptionalLong.empty();
  }

  /** Asks encode nodes one after the other, and passes tiles on to prefill. */
  private final class FromEncode implements EncodeModel.Told {
    private final Flight flight;
    private final Known like;
    private final OptionalLong deadline;
    private final ArrayDeque<EncodeShard> unasked;

    FromEncode(Flight flight, Known like, OptionalLong deadline) {
      this.flight = flight;
      this.like = like;
      this.deadline = deadline;
      this.unasked =
          new ArrayDeque<>(
              flight.placement.encodes().stream()
                  .sorted(Comparator.comparing(shard -> shard.seat().member().id()))
                  .toList());
    }

    void askNext() {
      EncodeShard shard = unasked.poll();
      if (shard != null) {
        NodeModel node = requireNonNull(nodes.get(shard.seat().member()));
        events.after(
            host.hopNanos(),
            () -> node.executeUrgent(() -> node.encode().ask(shard, deadline, this)));
      }
    }

    @Override
    public void reserved() {
      events.after(host.hopNanos(), this::askNext);
    }

    @Override
    public void ready(EncodeShard shard, NodeModel by, int picture, int tile) {
      // To the router and on.
      events.after(
          2 * host.hopNanos(),
          () -> {
            shard.ready(picture, tile);
            int span = like.spanOfTile()[picture][tile];
            PrefillModel prefill = flight.prefill.prefill();
            flight.prefill.execute(
                () -> prefill.announced(requireNonNull(flight.prompt), span, by));
          });
    }
  }

  /** Passes the first token on to the client, and KV blocks to decode. */
  private final class FromPrefill implements PrefillModel.Told {
    private final Flight flight;

    FromPrefill(Flight flight) {
      this.flight = flight;
    }

    @Override
    public void firstToken() {
      events.after(
          2 * host.hopNanos(),
          () -> {
            if (flight.root.firstTokenAt == 0) {
              flight.root.firstTokenAt = events.now();
            }
            flight.placement.prefill().worked();
            if (flight.request.answerTokens() == 1) {
              end(flight);
            }
          });
    }

    @Override
    public void kv(KvPart part) {
      events.after(
          2 * host.hopNanos(),
          () -> flight.decode.execute(() -> flight.decode.decode().kv(flight, part, this::last)));
    }

    private void last() {
      events.after(2 * host.hopNanos(), () -> end(flight));
    }
  }

  private void end(Flight part) {
    part.placement.release();
    Flight flight = part.root;
    flight.endedAt = events.now();
    ended++;
    if (flight.sentAt >= countedFrom() && !Outcome.meets(targets, ttftMs(flight), tpotMs(flight))) {
      missed++;
    }
  }

  private long countedFrom() {
    List<Sending> sendings = schedule.sendings();
    return schedule.warmUp() < sendings.size()
        ? Math.round(sendings.get(schedule.warmUp()).ms() * 1e6)
        : Long.MAX_VALUE;
  }

  private static double ttftMs(Flight flight) {
    return flight.firstTokenAt == 0 ? Double.NaN : (flight.firstTokenAt - flight.sentAt) / 1e6;
  }

  private static double tpotMs(Flight flight) {
    int more = flight.request.answerTokens() - 1;
    return flight.endedAt == 0 || more == 0
        ? Double.NaN
        : (flight.endedAt - flight.firstTokenAt) / 1e6 / more;
  }

  private Outcome outcome() {
    int counted = schedule.sendings().size() - schedule.warmUp();
    double[] ttft = new double[counted];
    double[] tpot = new double[counted];
    for (int i = 0; i < counted; i++) {
      boolean begun = schedule.warmUp() + i < flights.size();
      ttft[i] = begun ? ttftMs(flights.get(schedule.warmUp() + i)) : Double.NaN;
      tpot[i] = begun ? tpotMs(flights.get(schedule.warmUp() + i)) : Double.NaN;
    }
    return new Outcome(ttft, tpot);
  }
}
