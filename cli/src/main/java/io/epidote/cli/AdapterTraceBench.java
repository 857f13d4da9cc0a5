package io.epidote.cli;

import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Adapters;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.LoadedAdapter;
import io.epidote.engine.model.Logits;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.tier.AdapterUse;
import io.epidote.engine.tier.TierCounts;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.locks.LockSupport;

/**
 * Requests for many adapters, of which not all are hot, served by a decoder as they arrive: prompts
 * and answers in one continuous batch, without network. Which adapter a request names follows
 * Zipf's law, when it comes Poisson's, and both are the same for every policy.
 */
final class AdapterTraceBench {
  /** Requests that run at a time. */
  private static final int BATCH = 16;

  private static final int PROMPT_TOKENS = 12;
  private static final int ANSWER_TOKENS = 4;

  /** Of a trace, before what is measured: policies have learned by then. */
  private static final double WARM_UP = 0.4;

  private static final long IDLE_NANOS = 100_000;

  private final List<Path> folders;
  private final int[] adapters;
  private final long[] arrivals;

  /**
   * @param folders of the adapters, the most frequent first
   * @param rate of requests, in a second
   */
  AdapterTraceBench(List<Path> folders, int requests, double rate) {
    this.folders = List.copyOf(folders);
    this.adapters = new int[requests];
    this.arrivals = new long[requests];
    SplittableRandom random = new SplittableRandom(7);
    double[] share = new double[folders.size()];
    for (int i = 0; i < share.length; i++) {
      share[i] = (i == 0 ? 0 : share[i - 1]) + 1.0 / (i + 1);
    }
    double at = 0;
    for (int i = 0; i < requests; i++) {
      at += -Math.log(1 - random.nextDouble()) / rate * 1e9;
      arrivals[i] = (long) at;
      int found = Arrays.binarySearch(share, random.nextDouble() * share[share.length - 1]);
      adapters[i] = found < 0 ? -found - 1 : found;
    }
  }

  /**
   * What a trace gave, but for the requests of its first part.
   *
   * @param longestWaitMs of a request for its adapter, of all requests
   * @param seconds from the first request to the last answer
   */
  record Result(
      long switches,
      long reads,
      double waitShare,
      double p50Ms,
      double p99Ms,
      double longestWaitMs,
      double seconds) {}

  private static final class Request {
    final int number;
    final LoadedAdapter adapter;
    final AdapterUse use;
    int[] blocks = {};
    int generated;
    int lastToken;

    Request(int number, LoadedAdapter adapter, AdapterUse use) {
      this.number = number;
      this.adapter = adapter;
      this.use = use;
    }
  }

  /**
   * Serves the trace.
   *
   * @param decoder whose tiers are bounded, and that has no adapters yet
   */
  Result run(Decoder decoder, Progress progress) {
    Adapters all = decoder.adapters();
    LoadedAdapter[] loaded = new LoadedAdapter[folders.size()];
    // The rarest first: what is hot in the beginning is no help.
    for (int i = loaded.length - 1; i >= 0; i--) {
      loaded[i] = all.load("a" + i, folders.get(i), false);
    }
    BlockPool kv =
        decoder.shape().kvPool(BATCH * DecoderShape.blocksFor(PROMPT_TOKENS + ANSWER_TOKENS));
    List<Request> queue = new ArrayList<>();
    List<Request> running = new ArrayList<>();
    double[] latencies = new double[adapters.length];
    double longest = 0;
    int measured = (int) (WARM_UP * adapters.length);
    TierCounts before = all.tiers().counts();
    long start = System.nanoTime();
    int come = 0;
    int ended = 0;
    while (ended < adapters.length) {
      long now = System.nanoTime() - start;
      for (; come < adapters.length && arrivals[come] <= now; come++) {
        if (come == measured) {
          before = all.tiers().counts();
          progress.update("request %d of %d".formatted(come, adapters.length));
        }
        LoadedAdapter adapter = loaded[adapters[come]];
        queue.add(new Request(come, adapter, all.tiers().enter(adapter.entry())));
      }
      for (Request request : all.tiers().ready(queue, each -> Optional.of(each.use))) {
        if (running.size() < BATCH && request.use.tryPin()) {
          longest = Math.max(longest, request.use.waitedNanos() / 1e6);
          request.blocks =
              kv.tryAllocate(DecoderShape.blocksFor(PROMPT_TOKENS + ANSWER_TOKENS)).orElseThrow();
          running.add(request);
          queue.remove(request);
        }
      }
      if (running.isEmpty()) {
        LockSupport.parkNanos(IDLE_NANOS);
        continue;
      }
      step(decoder, kv, running);
      now = System.nanoTime() - start;
      for (Iterator<Request> each = running.iterator(); each.hasNext(); ) {
        Request request = each.next();
        if (request.generated == ANSWER_TOKENS) {
          request.use.leave();
          kv.release(request.blocks);
          latencies[request.number] = (now - arrivals[request.number]) / 1e6;
          each.remove();
          ended++;
        }
      }
    }
    TierCounts after = all.tiers().counts();
    double[] sorted = Arrays.copyOfRange(latencies, measured, latencies.length);
    Arrays.sort(sorted);
    return new Result(
        after.switches() - before.switches(),
        after.reads() - before.reads(),
        (after.waits() - before.waits()) / (double) sorted.length,
        sorted[sorted.length / 2],
        sorted[sorted.length * 99 / 100],
        longest,
        (System.nanoTime() - start) / 1e9);
  }

  private static void step(Decoder decoder, BlockPool kv, List<Request> running) {
    List<SequenceChunk> batch = new ArrayList<>();
    for (Request request : running) {
      boolean prompt = request.generated == 0;
      int[] tokens = new int[prompt ? PROMPT_TOKENS : 1];
      Arrays.setAll(
          tokens,
          i ->
              prompt
                  ? Math.floorMod(31 * request.number + 7 * i, decoder.shape().vocabulary())
                  : request.lastToken);
      int past = prompt ? 0 : PROMPT_TOKENS + request.generated - 1;
      batch.add(
          new SequenceChunk(
              tokens, past, request.blocks, List.of(), true, Optional.of(request.adapter)));
    }
    Logits logits = decoder.step(kv, batch);
    for (int row = 0; row < running.size(); row++) {
      Request request = running.get(row);
      request.lastToken = greatest(logits, row);
      request.generated++;
    }
  }

  private static int greatest(Logits logits, int row) {
    var values = logits.row(row);
    int best = 0;
    for (int i = 1; i < values.remaining(); i++) {
      best = values.get(values.position() + i) > values.get(values.position() + best) ? i : best;
    }
    return best;
  }
}
