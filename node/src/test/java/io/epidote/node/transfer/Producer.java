package io.epidote.node.transfer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.engine.memory.BlockPool;
import io.epidote.node.NodeConfig;
import io.epidote.node.NodeRuntime;
import io.epidote.proto.stage.v1.Handle;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.stream.IntStream;

/** A real node without stages whose blocks have random bytes. */
final class Producer implements AutoCloseable {
  static final Duration LEASE = Duration.ofSeconds(30);

  final NodeRuntime node;
  final BlockPool pool;
  private final int[] blocks;

  Producer(Duration lease, boolean unixSockets, int planes, int partBytes, int blockCount) {
    node = node("producer", lease, new TransferOptions(1 << 20, true, unixSockets));
    pool = new BlockPool("kv", planes, partBytes, blockCount);
    blocks = pool.tryAllocate(blockCount).orElseThrow();
    Random random = new Random(7);
    byte[] bytes = new byte[partBytes];
    for (int block : blocks) {
      for (ByteBuffer part : pool.parts(block)) {
        random.nextBytes(bytes);
        part.put(bytes);
      }
    }
    onEngine(() -> pool.release(blocks));
  }

  static NodeRuntime node(String name, Duration lease, TransferOptions options) {
    NodeConfig.Limits defaults = NodeConfig.Limits.defaults();
    NodeRuntime node =
        new NodeRuntime(
            NodeConfig.of(name, "", "", "test")
                .limits(
                    new NodeConfig.Limits(
                        lease,
                        defaults.stall(),
                        defaults.maxWait(),
                        Duration.ofMillis(10),
                        defaults.admissions(),
                        defaults.requests(),
                        defaults.replies()))
                .transfer(options)
                .build(),
            new SimpleMeterRegistry());
    node.start(List.of(), List.of());
    return node;
  }

  private void onEngine(Runnable command) {
    CountDownLatch done = new CountDownLatch(1);
    node.context()
        .loop()
        .execute(() -> {
          command.run();
          done.countDown();
        });
    try {
      done.await();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  /** A lease on all blocks, so often one after the other: large handles from little memory. */
  Handle grant(int times) {
    int[] repeated =
        IntStream.range(0, times).flatMap(_ -> IntStream.of(blocks)).sequential().toArray();
    CompletableFuture<Handle> handle = new CompletableFuture<>();
    onEngine(() -> {
      if (pool.used() == 0) {
        assertThat(pool.tryAllocate(blocks.length).orElseThrow()).containsExactlyInAnyOrder(blocks);
      } else {
        pool.retain(blocks);
      }
      handle.complete(node.context().leases().grant(pool, repeated, _ -> pool.release(blocks)));
    });
    return handle.join();
  }

  /** What {@link #grant} gives, in the order in which it travels. */
  List<ByteBuffer> parts() {
    return IntStream.of(blocks).boxed().flatMap(block -> pool.parts(block).stream()).toList();
  }

  /** No lease, no block in use. */
  void assertEmpty() {
    await()
        .pollDelay(Duration.ZERO)
        .pollInterval(Duration.ofMillis(5))
        .atMost(Duration.ofSeconds(2))
        .untilAsserted(() -> {
          assertThat(node.context().leases().outstanding()).as("leases").isZero();
          onEngine(() -> assertThat(pool.used()).as("blocks in use").isZero());
        });
  }

  @Override
  public void close() {
    node.close();
  }

  /** A producer in a process of its own. Writes its handle into a file and waits to be killed. */
  public static void main(String[] arguments) throws Exception {
    Producer producer = new Producer(LEASE, Boolean.parseBoolean(arguments[1]), 1, 1 << 20, 8);
    Path file = Path.of(arguments[0]);
    Path complete = Files.write(Path.of(file + ".part"), producer.grant(512).toByteArray());
    Files.move(complete, file);
    Thread.currentThread().join();
  }
}
