package io.epidote.prefill;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.KeyChain;
import io.epidote.engine.model.DecoderShape;
import io.epidote.node.StageMeters;
import io.epidote.node.engine.Turns;
import io.epidote.node.kv.EarlyHolders;
import io.epidote.node.kv.KvMemory;
import io.epidote.node.wire.SamplingMessages;
import java.util.Arrays;
import java.util.Optional;

/**
 * Gives prompts their KV blocks, whole: those of their beginnings that are cached, and new ones.
 * Belongs to the engine thread.
 */
final class KvRoom {
  private final KvMemory kv;
  private final StageMeters meters;
  private final PrefillConfig config;
  private final Turns turns;
  private final int largest;

  /**
   * @param contextTokens of the longest sequence
   */
  KvRoom(KvMemory kv, StageMeters meters, PrefillConfig config, Turns turns, int contextTokens) {
    this.kv = kv;
    this.meters = meters;
    this.config = config;
    this.turns = turns;
    this.largest = DecoderShape.blocksFor(contextTokens);
  }

  /**
   * The chain of a prompt's keys. Its root holds what all of a prompt's blocks depend on and who
   * may find them: the adapter's digest, the weights and the tenant's salt.
   */
  KeyChain keyChain(String adapter, String salt) {
    return new KeyChain(DecoderShape.BLOCK_TOKENS, adapter, config.weights(), salt);
  }

  /** Blocks that a request needs: of its prompt, and of its answer when that is decoded here. */
  private int needed(PrefillCall call) {
    return config.decodesHere()
        ? SamplingMessages.sequenceBlocks(call.tokens.length, call.options)
        : call.promptBlocks();
  }

  /** Refuses a prompt that does not even fit an empty pool. */
  void checkFits(PrefillCall call) {
    if (!kv.line().canEverFit(needed(call))) {
      throw new EpidoteException.TooLarge(
          "A prompt of %d tokens with up to %d more needs %d KV blocks here, but this node has %d; shorten the prompt, lower max_tokens, or give the node more KV blocks."
              .formatted(
                  call.tokens.length, call.options.maxTokens(), needed(call), kv.pool().total()));
    }
  }

  /** Gets in line; for a prompt that has all of its input. */
  void enterLine(PrefillCall call) {
    makeClaim(call);
    call.ticket = kv.line().enter(call.promptBlocks(), turns, call);
  }

  private void makeClaim(PrefillCall call) {
    if (config.decodesHere() && call.claim == null) {
      call.claim = kv.budget().claim(call.tokens.length, call.options);
    }
  }

  /** Takes the blocks when it is the prompt's turn and they can be had. */
  boolean tryTake(PrefillCall call) {
    return take(call, requireNonNull(call.ticket).take(() -> blocks(call)));
  }

  /** Takes the blocks for a prompt that has not all of its input, if that can do no harm. */
  boolean tryTakeEarly(PrefillCall call) {
    Optional<EarlyHolders.Place> place = kv.early().tryEnter(needed(call), largest);
    if (place.isEmpty()) {
      return false;
    }
    makeClaim(call);
    if (!take(call, blocks(call))) {
      place.get().leave();
      return false;
    }
    call.early = place.get();
    return true;
  }

  private boolean take(PrefillCall call, Optional<int[]> blocks) {
    if (blocks.isEmpty()) {
      return false;
    }
    call.blocks = blocks.get();
    call.account.cached(call.done);
    if (kv.prefixes().isPresent()) {
      meters.prefix(call.done, call.tokens.length);
    }
    return true;
  }

  private Optional<int[]> blocks(PrefillCall call) {
    int[] found =
        kv.prefixes().map(cache -> cache.retain(call.reusableKeys())).orElseGet(() -> new int[0]);
    int missing = call.promptBlocks() - found.length;
    if (missing > kv.pool().available() || (call.claim != null && !call.claim.tryEnter())) {
      kv.pool().release(found);
      return Optional.empty();
    }
    int[] blocks = Arrays.copyOf(found, call.promptBlocks());
    int[] taken = kv.pool().tryAllocate(missing).orElseThrow();
    System.arraycopy(taken, 0, blocks, found.length, missing);
    call.done = found.length * DecoderShape.BLOCK_TOKENS;
    return Optional.of(blocks);
  }

  /** More of the prompt is known: perhaps what comes next is cached. */
  void moreKnown(PrefillCall call) {
    if (kv.prefixes().isEmpty()) {
      return;
    }
    call.addMediaKeys();
    call.keyChain.extend(call.keys, call.tokens, call.known(), call.mediaKeys);
    if (call.blocks.length == 0 || call.done % DecoderShape.BLOCK_TOKENS != 0) {
      return;
    }
    int[] found = kv.prefixes().get().retain(call.reusableKeys());
    int at = call.done / DecoderShape.BLOCK_TOKENS;
    kv.pool().release(Arrays.copyOfRange(call.blocks, at, at + found.length));
    System.arraycopy(found, 0, call.blocks, at, found.length);
    int tokens = found.length * DecoderShape.BLOCK_TOKENS;
    call.done += tokens;
    call.account.cached(tokens);
    meters.prefix(tokens, 0);
  }

  /** The prompt's blocks are complete: later prompts may begin with them. */
  void cache(PrefillCall call) {
    kv.prefixes().ifPresent(cache -> cache.add(call.keys, call.blocks));
  }

  /** Drops the prompt's own references; leases have theirs. */
  void release(PrefillCall call) {
    kv.pool().release(call.blocks);
    call.blocks = new int[0];
  }
}
