package io.epidote.decode;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.model.DecoderShape;
import io.epidote.node.NodeConfig.Limits;
import io.epidote.node.StageInputs;
import io.epidote.node.kv.EarlyHolders;
import io.epidote.node.kv.KvMemory;
import io.epidote.node.transfer.PullGroup;
import io.epidote.node.transfer.WireForm;
import io.epidote.node.wire.SamplingMessages;
import io.epidote.proto.stage.v1.DecodeResponse;
import io.epidote.proto.stage.v1.KvReceived;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * The way of an answer from the announcement of its KV blocks until they are here. It takes room
 * for the whole prompt, either at once, and pulls part by part while prefill goes on, or in line
 * when all was announced. Parts whose blocks this node has in its prefix cache are not pulled.
 * Belongs to the engine thread.
 */
final class KvArrivals {
  private static final DecodeResponse RECEIVED =
      DecodeResponse.newBuilder().setKvReceived(KvReceived.getDefaultInstance()).build();

  private final DecodeStage stage;
  private final KvMemory kv;
  private final Residents residents;
  private final StageInputs inputs;
  private final Set<DecodeCall> calls;
  private final Limits limits;
  private final int largest;
  private final WireForm wire;

  /**
   * @param contextTokens of the longest sequence
   * @param wire how KV blocks come
   */
  KvArrivals(
      DecodeStage stage,
      KvMemory kv,
      Residents residents,
      StageInputs inputs,
      Set<DecodeCall> calls,
      Limits limits,
      int contextTokens,
      WireForm wire) {
    this.stage = stage;
    this.kv = kv;
    this.residents = residents;
    this.inputs = inputs;
    this.calls = calls;
    this.limits = limits;
    this.wire = wire;
    this.largest = DecoderShape.blocksFor(contextTokens);
  }

  /** Another part of the prompt was announced. */
  void announced(DecodeCall call) {
    call.newsAt = System.nanoTime();
    if (call.phase() == DecodePhase.RECEIVING) {
      receiveNext(call);
    }
  }

  /** All of the prompt was announced, and its first token is known. */
  void complete(DecodeCall call) {
    call.complete();
    if (call.phase() == DecodePhase.RECEIVING) {
      startWhenReceived(call);
    } else if (call.missingBlocks() == 0) {
      // Prefill has made room for the answer before it ran the prompt.
      call.claim.enter();
      call.blocks.append(table(call, call.inputBlocks(), List.of(), new int[0]));
      residents.add(call);
      received(call);
    } else {
      call.become(DecodePhase.RESERVING);
      call.account.startWaiting();
      call.ticket = kv.line().enter(call.missingBlocks(), stage.turns(), call);
    }
  }

  /** Lets requests in while there is room. */
  boolean reserve() {
    boolean any = false;
    for (DecodeCall call : List.copyOf(calls)) {
      any |=
          switch (call.phase()) {
            case AWAITING_INPUT -> beginEarly(call);
            case RECEIVING -> checkNews(call);
            case RESERVING -> admit(call);
            default -> false;
          };
    }
    return any;
  }

  /** Takes blocks for the whole prompt while it is still being prefilled, if that can be done. */
  private boolean beginEarly(DecodeCall call) {
    if (call.inputs.isEmpty() || call.missingBlocks() < call.inputBlocks()) {
      return false;
    }
    int most = SamplingMessages.sequenceBlocks(call.promptTokens, call.options);
    Optional<EarlyHolders.Place> place = kv.early().tryEnter(most, largest);
    if (place.isEmpty()) {
      return false;
    }
    Optional<int[]> table = take(call, DecoderShape.blocksFor(call.promptTokens));
    if (table.isEmpty()) {
      place.get().leave();
      return false;
    }
    call.early = place.get();
    call.blocks.append(table.get());
    call.become(DecodePhase.RECEIVING);
    pull(call, () -> partArrived(call));
    return true;
  }

  private boolean checkNews(DecodeCall call) {
    if (!call.inbox.isPulling() && System.nanoTime() - call.newsAt > limits.maxWait().toNanos()) {
      stage.fail(
          call,
          new EpidoteException.Unavailable(
              "No KV blocks of the prompt came for %s; send the request again."
                  .formatted(Limits.words(limits.maxWait()))));
    }
    return false;
  }

  /** A part was announced that there is room for. */
  private void receiveNext(DecodeCall call) {
    int block = 0;
    for (int i = 0; i < call.inputs.size(); i++) {
      if (i >= call.begun) {
        int[] found = find(call.inputs.get(i));
        call.blocks.replace(block, found);
        call.found.set(i, found.length > 0);
      }
      block += call.inputs.get(i).blocks();
    }
    pull(call, () -> partArrived(call));
  }

  private void partArrived(DecodeCall call) {
    call.newsAt = System.nanoTime();
    if (call.covered == call.promptTokens && !call.inbox.isPulling()) {
      call.reply.send(RECEIVED);
    }
    startWhenReceived(call);
  }

  private void startWhenReceived(DecodeCall call) {
    if (call.complete && !call.inbox.isPulling()) {
      call.leaveEarly();
      residents.add(call);
      start(call);
    }
  }

  private boolean admit(DecodeCall call) {
    Optional<int[]> table =
        !residents.hasPlaceFor(call)
            ? Optional.empty()
            : requireNonNull(call.ticket).take(() -> take(call, call.inputBlocks()));
    if (table.isEmpty()) {
      if (call.account.waitingNanos() > limits.maxWait().toNanos()) {
        stage.fail(call, inputs.waitedTooLong("answer"));
      }
      return false;
    }
    call.blocks.append(table.get());
    residents.add(call);
    call.account.stopWaiting();
    call.become(DecodePhase.PULLING);
    pull(call, () -> received(call));
    return true;
  }

  /**
   * The block table of a prompt: blocks of the parts that were announced and are here, and new
   * ones.
   *
   * @param blocks of the whole prompt, or as many as its parts have
   */
  private Optional<int[]> take(DecodeCall call, int blocks) {
    List<int[]> found = call.inputs.stream().map(this::find).toList();
    int shared = call.inputBlocks() - call.missingBlocks();
    int missing = blocks - shared - found.stream().mapToInt(part -> part.length).sum();
    boolean enters =
        call.complete
            ? residents.enter(call, missing)
            : missing <= kv.pool().available() && call.claim.tryEnter();
    if (!enters) {
      found.forEach(kv.pool()::release);
      return Optional.empty();
    }
    for (int i = 0; i < found.size(); i++) {
      call.found.set(i, found.get(i).length > 0);
    }
    int[] taken = kv.pool().tryAllocate(missing).orElseThrow();
    return Optional.of(table(call, blocks, found, taken));
  }

  private static int[] table(DecodeCall call, int blocks, List<int[]> found, int[] taken) {
    int[] table = new int[blocks];
    int block = 0;
    int used = 0;
    for (int i = 0; i < call.inputs.size(); i++) {
      KvInput input = call.inputs.get(i);
      int[] part;
      if (input instanceof KvInput.Shared shared) {
        part = shared.shared().blocks();
      } else if (call.found.get(i)) {
        part = found.get(i);
      } else {
        part = Arrays.copyOfRange(taken, used, used + input.blocks());
        used += input.blocks();
      }
      System.arraycopy(part, 0, table, block, part.length);
      block += part.length;
    }
    System.arraycopy(taken, used, table, block, taken.length - used);
    return table;
  }

  /** The blocks of a part that another node holds, with a reference each, if all are here, too. */
  private int[] find(KvInput part) {
    if (!(part instanceof KvInput.Remote remote)
        || remote.keys().size() < remote.blocks()
        || kv.prefixes().isEmpty()) {
      return new int[0];
    }
    int[] found = kv.prefixes().get().retain(remote.keys());
    if (found.length < remote.blocks()) {
      kv.pool().release(found);
      return new int[0];
    }
    return found;
  }

  /** Pulls the parts that were announced since the last time, but for those that were found. */
  private void pull(DecodeCall call, Runnable arrived) {
    List<PullGroup.Piece> pieces = new ArrayList<>();
    int[] table = call.blocks.table();
    int block = 0;
    for (int i = 0; i < call.inputs.size(); i++) {
      if (i >= call.begun && call.inputs.get(i) instanceof KvInput.Remote remote) {
        if (call.found.get(i)) {
          call.inbox.drop(remote.handle());
          call.account.cached(remote.blocks() * DecoderShape.BLOCK_TOKENS);
        } else {
          pieces.add(
              new PullGroup.Piece(remote.handle(), bytes(table, block, remote.blocks()), wire));
        }
      }
      block += call.inputs.get(i).blocks();
    }
    call.begun = call.inputs.size();
    if (pieces.isEmpty()) {
      arrived.run();
    } else {
      call.inbox.pull(pieces, arrived);
    }
  }

  private List<ByteBuffer> bytes(int[] table, int first, int blocks) {
    List<ByteBuffer> bytes = new ArrayList<>();
    for (int i = first; i < first + blocks; i++) {
      bytes.addAll(kv.pool().parts(table[i]));
    }
    return bytes;
  }

  private void received(DecodeCall call) {
    start(call);
    call.reply.send(RECEIVED);
  }

  private void start(DecodeCall call) {
    int[] table = call.blocks.table();
    kv.prefixes().ifPresent(cache -> cache.add(call.keys, table));
    residents.ready(call);
  }

  /** The request is over: frees its blocks, once no pull writes into them. */
  void ended(DecodeCall call) {
    call.leaveLine();
    call.leaveEarly();
    if (call.blocks.size() == 0) {
      for (KvInput input : call.inputs) {
        if (input instanceof KvInput.Shared shared) {
          shared.shared().release();
        }
      }
    }
    residents.remove(call);
    call.inbox.close(call.blocks::release);
  }
}
