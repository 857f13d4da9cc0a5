package io.epidote.decode;

import io.epidote.engine.model.LoadedAdapter;
import io.epidote.engine.tier.AdapterTiers;
import io.epidote.engine.tier.AdapterUse;
import io.epidote.node.StageMeters;
import io.epidote.node.engine.AdapterCap;
import io.epidote.node.engine.Turns;
import io.epidote.node.kv.KvMemory;
import io.epidote.proto.v1.Stage;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * The answers that have been given KV blocks, and which of them run. Blocks are taken as answers
 * grow. When there is none for an answer, the youngest one that has any gives way: it stops and its
 * blocks go out to swap space, one by one as they are needed; nothing is computed again. It goes on
 * when the pool will probably hold it to its end.
 *
 * <p>The oldest answer never gives way to another, and {@link io.epidote.node.kv.KvBudget} lets in
 * no more than pool and swap space hold at the very most, so there is always a block for it: every
 * answer becomes the oldest and ends. Where a prompt that is being prefilled or pulled from here
 * holds the block, its end is waited for. Belongs to the engine thread.
 */
final class Residents {
  private final KvMemory kv;
  private final StageMeters meters;
  private final int maxBatch;
  private final Turns turns;
  private final AdapterCap<LoadedAdapter> cap;
  private final AdapterTiers adapters;
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
          preempt(call);
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
    if (kv.swap().used() == kv.swap().total()) {
      return false;
    }
    for (DecodeCall call : byAge.reversed()) {
      if (call == taker) {
        return false;
      }
      boolean stays = call.phase() == DecodePhase.PULLING;
      if (!stays && call.blocks.hasBlocksHere()) {
        if (call.phase() == DecodePhase.RUNNING) {
          preempt(call);
        }
        call.claim.preempt();
        meters.swappedOut(1);
        return call.blocks.swapOut();
      }
    }
    return false;
  }

  private void preempt(DecodeCall call) {
    call.become(DecodePhase.PAUSED);
    call.use.ifPresent(AdapterUse::rest);
    call.claim.preempt();
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
      int active = active();
      boolean may = active == 0 || (active < maxBatch && call.claim.mayResume());
      if (!may || !bringBack(call)) {
        return;
      }
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
