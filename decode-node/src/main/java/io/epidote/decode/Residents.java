package io.epidote.decode;

import io.epidote.engine.model.LoadedAdapter;
import io.epidote.engine.tier.AdapterTiers;
import io.epidote.engine.tier.AdapterUse;
import io.epidote.node.StageMeters;
import io.epidote.node.engine.AdapterCap;
import io.epidote.node.engine.Turns;
import io.epidote.node.kv.KvBudget;
import io.epidote.node.kv.KvMemory;
import io.epidote.proto.v1.Stage;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * The answers that have been given KV blocks, and which of them run. Blocks are taken as answers
 * grow. When there is none for an answer, the youngest one that has any gives way: it stops and its
 * blocks go out to swap space, one by one as they are needed; nothing is computed again. It goes on
 * when the pool will probably hold it to its end.
 *
 * <p>The oldest answer never gives way to another, and {@link io.epidote.node.kv.KvBudget} lets in
 * no more than pool and swap space hold at the very most, so there is always a block for it: every
 * answer becomes the oldest and ends. Where a prompt that is being prefilled or pulled from here
 * holds the block, its end is waited for.
 *
 * <p>Of one tenant's answers, urgent ones count as older than the others, and pause others where
 * the batch or the pool is full. Who is paused keeps its tokens and goes on later. Belongs to the
 * engine thread.
 */
final class Residents {
  private final KvMemory kv;
  private final StageMeters meters;
  private final int maxBatch;
  private final Turns turns;
  private final AdapterCap<LoadedAdapter> cap;
  private final AdapterTiers adapters;

  /** The oldest first, but of each tenant's the urgent ones in the places of its oldest. */
  private final List<DecodeCall> byAge = new ArrayList<>();

  Residents(
      KvMemory kv,
      StageMeters meters,
      int maxBatch,
      Turns turns,
      AdapterCap<LoadedAdapter> cap,
      AdapterTiers adapters) {
    this.kv = kv;
    this.turns = turns;
    this.cap = cap;
    this.adapters = adapters;
    this.meters = meters;
    this.maxBatch = maxBatch;
  }

  /** Places in the batch that nobody has. */
  int places() {
    return maxBatch - active();
  }

  private int active() {
    int active = 0;
    for (DecodeCall call : byAge) {
      if (call.phase() == DecodePhase.RUNNING || call.phase() == DecodePhase.PULLING) {
        active++;
      }
    }
    return active;
  }

  /** From now on the answer's blocks are looked after here; its claim has entered. */
  void add(DecodeCall call) {
    byAge.add(call);
    String tenant = call.flow().tenant();
    int[] places =
        IntStream.range(0, byAge.size())
            .filter(i -> byAge.get(i).flow().tenant().equals(tenant))
            .toArray();
    List<DecodeCall> sorted =
        IntStream.of(places)
            .mapToObj(byAge::get)
            .sorted(Comparator.comparingInt(each -> each.flow().priority()))
            .toList();
    for (int i = 0; i < places.length; i++) {
      byAge.set(places[i], sorted.get(i));
    }
  }

  /** Whether there is a place in the batch for an answer, if need be that of a less urgent one. */
  boolean hasPlaceFor(DecodeCall call) {
    return places() > 0 || lessUrgent(call).isPresent();
  }

  /** The last of the running answers that give way to this one. */
  private Optional<DecodeCall> lessUrgent(DecodeCall call) {
    return byAge.reversed().stream()
        .filter(
            other -> other.phase() == DecodePhase.RUNNING && other.flow().givesWayTo(call.flow()))
        .findFirst();
  }

  private void makePlaceFor(DecodeCall call) {
    if (places() <= 0) {
      lessUrgent(call).ifPresent(this::pause);
    }
  }

  /**
   * Lets an answer in that has all of its input and whose turn it is, if need be in the place of
   * less urgent ones.
   *
   * @param blocks that it needs now
   */
  boolean enter(DecodeCall call, int blocks) {
    if (kv.pool().available() >= blocks && call.claim.tryEnter()) {
      makePlaceFor(call);
      return true;
    }
    int swappable = kv.swap().total() - kv.swap().used();
    Optional<List<DecodeCall>> yielding = yielding(call);
    if (yielding.isEmpty() || blocks > kv.pool().available() + swappable) {
      return false;
    }
    for (DecodeCall other : yielding.get()) {
      giveUp(other);
    }
    for (DecodeCall other : byAge.reversed()) {
      while (kv.pool().available() < blocks
          && other.flow().givesWayTo(call.flow())
          && canSwapOut(other)) {
        giveUp(other);
        swapOutOne(other);
      }
    }
    if (kv.pool().available() < blocks) {
      return false;
    }
    call.claim.enter();
    makePlaceFor(call);
    return true;
  }

  /** The fewest answers, the last first, without which this one fits; empty when it does not. */
  private Optional<List<DecodeCall>> yielding(DecodeCall call) {
    // Who has given up blocks comes back before anybody new does, but for urgent ones.
    if (byAge.stream()
        .anyMatch(other -> other.claim.isPreempted() && !other.flow().givesWayTo(call.flow()))) {
      return Optional.empty();
    }
    List<DecodeCall> yielding = new ArrayList<>();
    Set<KvBudget.Claim> claims = new HashSet<>();
    for (DecodeCall other : byAge.reversed()) {
      if (call.claim.fitsWithout(claims)) {
        break;
      }
      boolean stays = other.phase() == DecodePhase.PULLING || other.claim.isPreempted();
      if (!stays && other.flow().givesWayTo(call.flow())) {
        yielding.add(other);
        claims.add(other.claim);
      }
    }
    return call.claim.fitsWithout(claims) ? Optional.of(yielding) : Optional.empty();
  }

  /**
   * The answer's prompt is here: it runs from the next step on, if the batch has a place and its
   * adapter is hot.
   */
  void ready(DecodeCall call) {
    call.account.startWaiting();
    boolean place = call.phase() == DecodePhase.PULLING || places() > 0;
    call.become(place && pin(call) ? DecodePhase.RUNNING : DecodePhase.PAUSED);
  }

  private static boolean pin(DecodeCall call) {
    return call.use.map(AdapterUse::tryPin).orElse(true);
  }

  /** Answers that may be waiting for their adapters. */
  List<DecodeCall> awaitingAdapters() {
    return byAge.stream()
        .filter(call -> call.phase() == DecodePhase.PAUSED && call.use.isPresent())
        .toList();
  }

  /** The answer is over; its blocks are freed by whoever knows that no pull writes into them. */
  void remove(DecodeCall call) {
    byAge.remove(call);
    call.claim.leave();
  }

  /**
   * The answers of the next step, each with a block for its next token. Where there are more
   * adapters than a step may hold, those that are passed over keep their blocks and places.
   */
  List<DecodeCall> schedule() {
    resume();
    List<DecodeCall> batch = List.of();
    // Where all that were chosen had to give up blocks, others can go on.
    for (List<DecodeCall> running = running();
        batch.isEmpty() && !running.isEmpty();
        running = running()) {
      List<DecodeCall> chosen = cap.share(running, call -> call.adapter);
      meters.passedOver(Stage.STAGE_DECODE, running.size() - chosen.size());
      batch = grown(chosen);
    }
    return batch;
  }

  private List<DecodeCall> running() {
    return byAge.stream().filter(call -> call.phase() == DecodePhase.RUNNING).toList();
  }

  /** Those of the answers that have a block for their next token now. */
  private List<DecodeCall> grown(List<DecodeCall> chosen) {
    List<DecodeCall> batch = new ArrayList<>();
    // Oldest first: whoever gives way comes later, and is not in the batch yet.
    for (DecodeCall call : chosen) {
      if (call.phase() == DecodePhase.RUNNING) {
        if (grow(call)) {
          call.account.stopWaiting();
          batch.add(call);
        } else {
          giveUp(call);
        }
      }
    }
    return batch;
  }

  /** The blocks up to that of the next token, which is the answer's alone: it is written into. */
  private boolean grow(DecodeCall call) {
    while (call.blocks.size() < call.blocksForNext()) {
      Optional<int[]> block = takeOne(call);
      if (block.isEmpty()) {
        return false;
      }
      call.blocks.append(block.get());
    }
    while (!call.blocks.own(call.blocksForNext() - 1)) {
      if (!takeFromYounger(call)) {
        return false;
      }
    }
    return true;
  }

  /** A block for an answer, if need be from a younger one. */
  private Optional<int[]> takeOne(DecodeCall taker) {
    while (kv.pool().available() == 0) {
      if (!takeFromYounger(taker)) {
        return Optional.empty();
      }
    }
    return kv.pool().tryAllocate(1);
  }

  private boolean takeFromYounger(DecodeCall taker) {
    for (DecodeCall call : byAge.reversed()) {
      if (call == taker) {
        return false;
      }
      if (canSwapOut(call)) {
        giveUp(call);
        return swapOutOne(call);
      }
    }
    return false;
  }

  private boolean canSwapOut(DecodeCall call) {
    return kv.swap().used() < kv.swap().total()
        && call.phase() != DecodePhase.PULLING
        && call.blocks.hasBlocksHere();
  }

  private boolean swapOutOne(DecodeCall call) {
    meters.swappedOut(1);
    return call.blocks.swapOut();
  }

  /** The answer stops if it runs, and others may have its blocks. */
  private void giveUp(DecodeCall call) {
    if (call.phase() == DecodePhase.RUNNING) {
      pause(call);
    }
    call.claim.preempt();
  }

  /** The answer stops and keeps its blocks as long as nobody needs them. */
  private void pause(DecodeCall call) {
    call.become(DecodePhase.PAUSED);
    call.use.ifPresent(AdapterUse::rest);
    call.account.startWaiting();
    meters.preempted();
  }

  /**
   * Lets paused answers go on whose adapters are hot: in the stage's order those that wait for
   * nothing but a place, and by age once somebody has given up blocks.
   */
  private void resume() {
    List<DecodeCall> paused =
        byAge.stream().filter(call -> call.phase() == DecodePhase.PAUSED).toList();
    List<DecodeCall> sorted =
        kv.budget().isAnyPreempted() ? paused : turns.sort(paused, System.nanoTime());
    for (DecodeCall call : adapters.ready(sorted, call -> call.use)) {
      boolean may = active() == 0 || (hasPlaceFor(call) && call.claim.mayResume());
      if (!may || !bringBack(call)) {
        return;
      }
      makePlaceFor(call);
      pin(call);
      call.claim.resume();
      call.become(DecodePhase.RUNNING);
    }
  }

  private boolean bringBack(DecodeCall call) {
    while (!call.blocks.isHere()) {
      Optional<int[]> block = takeOne(call);
      if (block.isEmpty()) {
        return false;
      }
      call.blocks.swapIn(block.get()[0]);
    }
    return true;
  }
}
