package io.epidote.stages;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.decode.DecodeConfig;
import io.epidote.decode.DecodeStage;
import io.epidote.decode.KvWire;
import io.epidote.encode.EncodeStage;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.memory.MediaCache;
import io.epidote.engine.memory.MediaKeys;
import io.epidote.engine.sampling.BatchSampler;
import io.epidote.node.AdapterRoots;
import io.epidote.node.NodeConfig;
import io.epidote.node.NodeContext;
import io.epidote.node.NodeRuntime;
import io.epidote.node.Role;
import io.epidote.node.RoleFactory;
import io.epidote.node.Stage;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.engine.QueueOrder;
import io.epidote.node.kv.KvMemory;
import io.epidote.prefill.PrefillConfig;
import io.epidote.prefill.PrefillStage;
import io.epidote.proto.v1.NodeStatus;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** A real node with toy models. {@code stages} is a combination of the letters E, P and D. */
final class TestNode implements AutoCloseable {
  /** What an encode stage has of files. */
  static final int FILE_BYTES = 1 << 20;

  static final NodeConfig.Limits LIMITS =
      new NodeConfig.Limits(
          Duration.ofSeconds(30),
          Duration.ofSeconds(10),
          Duration.ofMinutes(2),
          Duration.ofMillis(200),
          1024,
          1024,
          4096);

  /** Small, so that prompts are cut. */
  private static final int TOKEN_BUDGET = 48;

  private static final int CHUNK_TOKENS = 32;

  /** A block each, so that most prompts are run and announced in several parts. */
  private static final int LEAST_TOKENS = 16;

  private static final int PART_TOKENS = 16;

  /** What a test may want different. */
  record Options(
      NodeConfig.Limits limits,
      int kvBlocks,
      int swapBlocks,
      boolean cachePrefixes,
      boolean cacheTiles,
      int mediaBlocks,
      int maxBatch,
      KvWire kvWire,
      QueueOrder order) {
    static Options defaults() {
      return new Options(LIMITS, 256, 256, true, true, 64, 64, KvWire.EXACT, QueueOrder.FCFS);
    }

    Options withKvWire(KvWire wire) {
      return new Options(
          limits,
          kvBlocks,
          swapBlocks,
          cachePrefixes,
          cacheTiles,
          mediaBlocks,
          maxBatch,
          wire,
          order);
    }

    Options withOrder(QueueOrder turns) {
      return new Options(
          limits,
          kvBlocks,
          swapBlocks,
          cachePrefixes,
          cacheTiles,
          mediaBlocks,
          maxBatch,
          kvWire,
          turns);
    }

    Options withKvBlocks(int blocks) {
      return new Options(
          limits,
          blocks,
          swapBlocks,
          cachePrefixes,
          cacheTiles,
          mediaBlocks,
          maxBatch,
          kvWire,
          order);
    }

    Options withSwapBlocks(int blocks) {
      return new Options(
          limits,
          kvBlocks,
          blocks,
          cachePrefixes,
          cacheTiles,
          mediaBlocks,
          maxBatch,
          kvWire,
          order);
    }

    Options withoutPrefixes() {
      return new Options(
          limits, kvBlocks, swapBlocks, false, cacheTiles, mediaBlocks, maxBatch, kvWire, order);
    }

    Options withoutTileCache() {
      return new Options(
          limits, kvBlocks, swapBlocks, cachePrefixes, false, mediaBlocks, maxBatch, kvWire, order);
    }

    Options withMediaBlocks(int blocks) {
      return new Options(
          limits, kvBlocks, swapBlocks, cachePrefixes, cacheTiles, blocks, maxBatch, kvWire, order);
    }

    Options withMaxBatch(int sequences) {
      return new Options(
          limits,
          kvBlocks,
          swapBlocks,
          cachePrefixes,
          cacheTiles,
          mediaBlocks,
          sequences,
          kvWire,
          order);
    }

    Options withLimits(NodeConfig.Limits changed) {
      return new Options(
          changed,
          kvBlocks,
          swapBlocks,
          cachePrefixes,
          cacheTiles,
          mediaBlocks,
          maxBatch,
          kvWire,
          order);
    }
  }

  final NodeRuntime runtime;
  final ToyDecoder decoder = new ToyDecoder();
  final ToyEncoder encoder = new ToyEncoder();
  final List<BlockPool> pools = new CopyOnWriteArrayList<>();
  final SimpleMeterRegistry meters = new SimpleMeterRegistry();

  private final Set<Integer> eosIds;
  private final Options options;

  /** Runs before another role is made, and may throw. */
  volatile Runnable beforeLoad = () -> {};

  /** What a role takes, as its factory says. */
  volatile long roleBytes;

  TestNode(String stages, Set<Integer> eosIds, Options options) {
    this(stages, eosIds, options, List.of());
  }

  TestNode(String stages, Set<Integer> eosIds, Options options, List<String> routers) {
    this.eosIds = eosIds;
    this.options = options;
    runtime =
        new NodeRuntime(
            NodeConfig.of("node-" + stages, "toy", "0", "test")
                .routers(routers)
                .limits(options.limits())
                .build(),
            meters);
    runtime.start(
        make(runtime.context(), stages),
        Optional.of(new Roles()),
        new NodeRuntime.AdapterSource(new AdapterRoots(List.of()), Map.of()));
  }

  private final class Roles implements RoleFactory {
    @Override
    public Role make(
        NodeContext node,
        Set<io.epidote.proto.v1.Stage> stages,
        Set<io.epidote.proto.v1.Stage> made,
        Map<String, Path> adapters) {
      beforeLoad.run();
      return TestNode.this.make(
          node,
          made.stream()
              .map(stage -> stage.name().substring("STAGE_".length()).substring(0, 1))
              .collect(Collectors.joining()));
    }

    @Override
    public long bytes(Set<io.epidote.proto.v1.Stage> stages) {
      return roleBytes;
    }
  }

  private Role make(NodeContext node, String stages) {
    boolean decodes = stages.contains("D");
    List<Stage> made = new ArrayList<>();
    BatchSampler sampler = new BatchSampler(2);
    KvMemory kv =
        new KvMemory(
            pool("kv", decoder.shape().kvBlockBytes(), options.kvBlocks()),
            options.swapBlocks(),
            options.cachePrefixes());
    if (decodes) {
      made.add(
          new DecodeStage(
              node,
              decoder,
              sampler,
              kv,
              new DecodeConfig(eosIds, options.maxBatch(), options.kvWire(), options.order())));
    }
    if (stages.contains("P")) {
      made.add(
          new PrefillStage(
              node,
              decoder,
              sampler,
              kv,
              new BlockQueue(pool("media-in", encoder.tileBytes(), options.mediaBlocks())),
              new PrefillConfig(
                  eosIds,
                  TOKEN_BUDGET,
                  CHUNK_TOKENS,
                  64,
                  LEAST_TOKENS,
                  PART_TOKENS,
                  decodes,
                  "toy",
                  options.order(),
                  true)));
    }
    if (stages.contains("E")) {
      BlockPool media = pool("media", encoder.tileBytes(), options.mediaBlocks());
      made.add(
          new EncodeStage(
              node,
              encoder,
              encoder,
              new BlockQueue(media),
              options.cacheTiles() ? Optional.of(new MediaCache(media)) : Optional.empty(),
              new MediaKeys("toy"),
              FILE_BYTES,
              options.order()));
    }
    return new Role(node, made, List.of(decoder, encoder, sampler), Optional.empty());
  }

  private BlockPool pool(String name, int blockBytes, int blocks) {
    BlockPool pool = new BlockPool(name, blockBytes, blocks);
    pools.add(pool);
    return pool;
  }

  NodeStatus status() {
    return requireNonNull(runtime.status().orTimeout(60, TimeUnit.SECONDS).join());
  }

  /** Waits until nothing is in use, as it must be after every test. */
  void assertEmpty() {
    await()
        .pollDelay(Duration.ZERO)
        .pollInterval(Duration.ofMillis(10))
        .atMost(Duration.ofSeconds(60))
        .untilAsserted(() -> {
          NodeStatus status = status();
          assertThat(status.getHandles()).as("handles").isZero();
          assertThat(status.getRunning() + status.getQueued() + status.getAwaiting())
              .as("requests")
              .isZero();
          assertThat(status.getSwapBlocksUsed()).as("blocks in swap space").isZero();
          // Read after a command of the engine thread: what it wrote before is visible.
          for (BlockPool pool : pools) {
            assertThat(pool.used()).as("%s blocks in use", pool.name()).isZero();
          }
        });
    assertThat(runtime.fault()).isNull();
  }

  @Override
  public void close() {
    runtime.close();
  }
}
