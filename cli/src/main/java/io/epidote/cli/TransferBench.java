package io.epidote.cli;

import com.sun.management.ThreadMXBean;
import io.epidote.engine.memory.BlockPool;
import io.epidote.node.BuildInfo;
import io.epidote.node.NodeConfig;
import io.epidote.node.NodeContext;
import io.epidote.node.NodeRuntime;
import io.epidote.node.grpc.ChannelKind;
import io.epidote.node.grpc.ChannelPool;
import io.epidote.node.transfer.PullEnd;
import io.epidote.node.transfer.TransferOptions;
import io.epidote.node.transfer.WireForm;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.RenewRequest;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;

/**
 * Moves KV blocks between nodes without stages: real servers, leases, handles and pulls, all in
 * this process, over loopback. One node produces; one for each set of options consumes.
 */
final class TransferBench implements AutoCloseable {
  /** A stream of tokens brings one now and then. */
  private static final Duration BETWEEN_MESSAGES = Duration.ofMillis(1);

  private static final long PULL_SECONDS = 60;

  private final NodeRuntime producer;
  private final Map<TransferOptions, NodeRuntime> consumers = new HashMap<>();
  private final BlockPool source;
  private final BlockPool target;
  private final int[] sourceBlocks;
  private final List<ByteBuffer> destinations;
  private final ChannelPool channels = new ChannelPool();
  private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  /**
   * @param bytes behind a handle
   * @param partBytes of a block in each layer, 16 of them together
   */
  TransferBench(long bytes, int partBytes) {
    int planes = 16;
    int blocks = (int) Math.max(1, bytes / planes / partBytes);
    this.source = new BlockPool("kv", planes, partBytes, blocks);
    this.target = new BlockPool("kv", planes, partBytes, blocks);
    this.sourceBlocks = source.tryAllocate(blocks).orElseThrow();
    this.destinations =
        Arrays.stream(target.tryAllocate(blocks).orElseThrow())
            .boxed()
            .flatMap(block -> target.parts(block).stream())
            .toList();
    for (int plane = 0; plane < planes; plane++) {
      source.plane(plane).fill((byte) (plane + 1));
      target.plane(plane).fill((byte) 0);
    }
    this.producer = node("producer", TransferOptions.defaults());
  }

  private static NodeRuntime node(String name, TransferOptions options) {
    NodeRuntime node =
        new NodeRuntime(
            NodeConfig.of(name, "", "", BuildInfo.VERSION).transfer(options).build(),
            new SimpleMeterRegistry());
    node.start(List.of(), List.of());
    return node;
  }

  private Handle grant() {
    CompletableFuture<Handle> handle = new CompletableFuture<>();
    NodeContext node = producer.context();
    node.loop()
        .execute(() -> {
          source.retain(sourceBlocks);
          handle.complete(
              node.leases().grant(source, sourceBlocks, _ -> source.release(sourceBlocks)));
        });
    return handle.join();
  }

  /** Pulls all blocks that often; 10^9 bytes a second. */
  double pull(TransferOptions options, int times) {
    return pull(options, WireForm.EXACT, times);
  }

  /** The same in another form; bytes of blocks, not of what travels. */
  double pull(TransferOptions options, WireForm form, int times) {
    NodeRuntime consumer =
        consumers.computeIfAbsent(options, _ -> node("consumer-" + consumers.size(), options));
    long bytes = 0;
    long nanos = 0;
    for (int i = 0; i < times; i++) {
      Handle handle = grant();
      CompletableFuture<PullEnd> ended = new CompletableFuture<>();
      consumer.context().transfers().pull(handle, destinations, form, ended::complete);
      PullEnd end = ended.orTimeout(PULL_SECONDS, TimeUnit.SECONDS).join();
      if (!(end instanceof PullEnd.Pulled pulled)) {
        throw new IllegalStateException("A pull did not succeed: " + end);
      }
      bytes += pulled.bytes();
      nanos += pulled.nanos();
    }
    return (double) bytes / nanos;
  }

  /** The same bytes over plain TCP; 10^9 bytes a second. */
  double raw(int callBytes, int times) {
    List<ByteBuffer> sources =
        Arrays.stream(sourceBlocks).boxed().flatMap(block -> source.parts(block).stream()).toList();
    try {
      double seconds = 0;
      for (int i = 0; i < times; i++) {
        seconds += 1 / RawTcp.move(sources, destinations, callBytes);
      }
      return times / seconds;
    } catch (IOException e) {
      throw new IllegalStateException("Plain TCP cannot be measured: " + e.getMessage(), e);
    }
  }

  /** KiB that all threads of both sides allocate on the heap for each MiB that is pulled. */
  double heapKibPerMib(TransferOptions options, int times) {
    long before = threads.getTotalThreadAllocatedBytes();
    pull(options, times);
    long allocated = threads.getTotalThreadAllocatedBytes() - before;
    double mebibytes = (double) source.bytes() * times / (1 << 20);
    return allocated / 1024.0 / mebibytes;
  }

  /**
   * Round trips of a message of a token's size over the control channel, paced as tokens are.
   *
   * @return nanoseconds, ascending
   */
  long[] smallMessages(int count) {
    Handle handle = grant();
    TransferServiceGrpc.TransferServiceBlockingStub stub =
        TransferServiceGrpc.newBlockingStub(
            channels.channel(producer.address(), ChannelKind.CONTROL));
    RenewRequest message = RenewRequest.newBuilder().addHandles(handle).build();
    long[] nanos =
        IntStream.range(0, count)
            .mapToLong(_ -> {
              LockSupport.parkNanos(BETWEEN_MESSAGES.toNanos());
              long start = System.nanoTime();
              if (stub.renew(message).getLostCount() > 0) {
                throw new IllegalStateException("The lease was lost while it was renewed");
              }
              return System.nanoTime() - start;
            })
            .sorted()
            .toArray();
    producer.context().leases().release(handle);
    return nanos;
  }

  /** The same while another thread pulls without a pause. */
  long[] smallMessagesUnderBulk(TransferOptions options, int count) {
    AtomicBoolean stop = new AtomicBoolean();
    CompletableFuture<Void> bulk =
        CompletableFuture.runAsync(() -> {
          while (!stop.get()) {
            pull(options, 1);
          }
        });
    try {
      return smallMessages(count);
    } finally {
      stop.set(true);
      bulk.join();
    }
  }

  @Override
  public void close() {
    channels.close();
    consumers.values().forEach(NodeRuntime::close);
    producer.close();
  }
}
