package io.epidote.prefill;

import io.epidote.engine.memory.BlockKey;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.DecoderShape;
import io.epidote.node.lease.LeaseEnd;
import io.epidote.node.lease.LeaseTable;
import io.epidote.node.wire.BlockKeyMessages;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.KvReady;
import io.epidote.proto.stage.v1.PrefillResponse;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiConsumer;

/**
 * Leases prompts' KV blocks out: in parts while the prompt is run, so that whoever decodes pulls
 * them meanwhile, or all at the end. Each lease has references of its own. Belongs to the engine
 * thread.
 */
final class KvOffer {
  private final LeaseTable leases;
  private final BlockPool pool;
  private final int partTokens;
  private final BiConsumer<PrefillCall, LeaseEnd> leaseOver;

  /**
   * @param leaseOver is told when a lease has been freed
   */
  KvOffer(
      LeaseTable leases,
      BlockPool pool,
      int partTokens,
      BiConsumer<PrefillCall, LeaseEnd> leaseOver) {
    this.leases = leases;
    this.pool = pool;
    this.partTokens = partTokens;
    this.leaseOver = leaseOver;
  }

  /**
   * Announces whole blocks that are done, when there are enough of them.
   *
   * @param lastNext whether the next step is the prompt's last. Then fewer are enough: what is
   *     announced now is moved during that step, and the rest only behind it
   */
  void progress(PrefillCall call, boolean lastNext) {
    int least = lastNext ? DecoderShape.BLOCK_TOKENS : partTokens;
    if (isEnough(call, least)) {
      announce(call, whole(call));
    }
  }

  /**
   * The same for blocks that were found in the cache: in small parts, because whoever decodes may
   * have the first of them, too, and need not pull these.
   */
  void found(PrefillCall call) {
    while (isEnough(call, partTokens)) {
      announce(call, call.offered + partTokens);
    }
  }

  private static boolean isEnough(PrefillCall call, int least) {
    // An answer of one token is not decoded.
    return !call.kvLast && call.options.maxTokens() > 1 && whole(call) - call.offered >= least;
  }

  private static int whole(PrefillCall call) {
    return call.done - call.done % DecoderShape.BLOCK_TOKENS;
  }

  /** Announces what is left of a prompt that is done. */
  void rest(PrefillCall call) {
    announce(call, call.tokens.length);
  }

  private void announce(PrefillCall call, int end) {
    int first = call.offered;
    int[] part =
        Arrays.copyOfRange(
            call.blocks, first / DecoderShape.BLOCK_TOKENS, DecoderShape.blocksFor(end));
    pool.retain(part);
    call.openLeases++;
    Handle handle =
        leases.grant(
            pool,
            part,
            why -> {
              pool.release(part);
              call.openLeases--;
              leaseOver.accept(call, why);
            });
    call.leases.add(handle);
    call.offered = end;
    call.reply.send(
        PrefillResponse.newBuilder()
            .setKv(
                KvReady.newBuilder()
                    .setFirstToken(first)
                    .setTokens(end - first)
                    .setHandle(handle)
                    .setBlockKeys(BlockKeyMessages.write(keys(call, first, end))))
            .build());
  }

  private static List<BlockKey> keys(PrefillCall call, int first, int end) {
    int to = Math.min(call.keys.size(), end / DecoderShape.BLOCK_TOKENS);
    return call.keys.subList(Math.min(first / DecoderShape.BLOCK_TOKENS, to), to);
  }

  /** Takes back what was announced; blocks that are being pulled follow when the pull has ended. */
  void revoke(PrefillCall call) {
    call.leases.forEach(leases::revoke);
  }
}
