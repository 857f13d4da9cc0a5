package io.epidote.node.memory;

import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.ModelMemory;
import io.epidote.proto.v1.MemoryUse;
import io.netty.util.internal.PlatformDependent;
import java.io.IOException;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.ToLongFunction;

/**
 * Divides this process's resident memory by kind. What has addresses of its own (files, heap,
 * compiled code, the pools) is measured page by page; of the memory that is left, what its owners
 * say they have taken; {@code rest} is what nobody accounts for: the JVM's own structures, stacks
 * of threads, the tokenizer.
 *
 * <p>The kinds sum to the resident memory. Of several nodes in one process each accounts for what
 * is its own, and has the others' in {@code rest}.
 */
public final class MemoryAccount {
  private static final long PAGE_BYTES = 4096;

  private static final HeapRange HEAP = HeapRange.read();

  /**
   * How long a look at this process is good for all of its nodes: one takes the system
   * milliseconds, in which nobody here can map memory.
   */
  private static final long SHARED_NANOS = TimeUnit.SECONDS.toNanos(1);

  private static final Object LOOKING = new Object();
  private static Look latest = new Look(List.of(), 0);

  /**
   * @param nanos {@link System#nanoTime} when it was taken
   */
  private record Look(List<Mapping> mappings, long nanos) {}

  private MemoryAccount() {}

  /**
   * What a node has of memory besides what the JVM has.
   *
   * @param swapBytes outside the KV pools
   */
  public record Holdings(
      List<BlockPool> kv, long swapBytes, List<BlockPool> media, List<ModelMemory> models) {
    public Holdings {
      kv = List.copyOf(kv);
      media = List.copyOf(media);
      models = List.copyOf(models);
    }

    private long sum(ToLongFunction<ModelMemory> figure) {
      return models.stream().mapToLong(figure).sum();
    }

    private boolean hasAdapter(String name) {
      return models.stream().anyMatch(model -> model.adapterFiles().contains(name));
    }

    private boolean hasFile(String name) {
      return !name.isEmpty() && models.stream().anyMatch(model -> model.weightFile().equals(name));
    }
  }

  /** The kinds, or none where the system does not tell what is resident. Takes milliseconds. */
  public static List<MemoryUse> measure(Holdings holdings) {
    return divide(Mapping.all(), holdings);
  }

  /** The same by a look at the process that another of its nodes may have taken a moment ago. */
  public static List<MemoryUse> measureShared(Holdings holdings) {
    Look look;
    synchronized (LOOKING) {
      long now = System.nanoTime();
      if (latest.mappings().isEmpty() || now - latest.nanos() >= SHARED_NANOS) {
        latest = new Look(Mapping.all(), now);
      }
      look = latest;
    }
    return divide(look.mappings(), holdings);
  }

  private static List<MemoryUse> divide(List<Mapping> mappings, Holdings holdings) {
    return mappings.isEmpty() ? List.of() : new Division(mappings).divide(holdings);
  }

  /** One measurement under way. */
  private static final class Division {
    private final List<Mapping> mappings;
    private final List<MemoryUse> uses = new ArrayList<>();

    /** Resident memory without a file that no kind has yet. */
    private long left;

    private Division(List<Mapping> mappings) {
      this.mappings = mappings;
    }

    private List<MemoryUse> divide(Holdings holdings) {
      List<Mapping> weights = new ArrayList<>();
      List<Mapping> adapters = new ArrayList<>();
      List<Mapping> classes = new ArrayList<>();
      List<Mapping> libraries = new ArrayList<>();
      List<Mapping> heap = new ArrayList<>();
      List<Mapping> code = new ArrayList<>();
      for (Mapping mapping : mappings) {
        if (holdings.hasFile(mapping.file())) {
          weights.add(mapping);
        } else if (!mapping.file().isEmpty() && holdings.hasAdapter(mapping.file())) {
          adapters.add(mapping);
        } else if (mapping.file().endsWith(".jsa")) {
          classes.add(mapping);
        } else if (!mapping.file().isEmpty()) {
          libraries.add(mapping);
        } else if (HEAP.holds(mapping)) {
          heap.add(mapping);
        } else if (mapping.executable()) {
          code.add(mapping);
        } else {
          left += mapping.resident();
        }
      }
      add("weights_mapped", weights);
      add("adapters", adapters);
      take("weights_copied", holdings.sum(ModelMemory::weightCopies));
      take("kv", resident(holdings.kv()));
      take("swap", holdings.swapBytes());
      take("media", resident(holdings.media()));
      take("activations", holdings.sum(ModelMemory::activations));
      add("heap", heap);
      take("metaspace", metaspace());
      add("code", code);
      add("classes", classes);
      add("libraries", libraries);
      take("network", Math.max(0, PlatformDependent.usedDirectMemory()));
      take("direct", direct());
      take("rest", left);
      return uses;
    }

    private void add(String kind, List<Mapping> of) {
      use(
          kind,
          of.stream().mapToLong(Mapping::resident).sum(),
          of.stream().mapToLong(Mapping::proportional).sum());
    }

    /** What was taken need not have been touched: a kind cannot have more than there is. */
    private void take(String kind, long bytes) {
      long resident = Math.min(bytes, left);
      left -= resident;
      use(kind, resident, resident);
    }

    private void use(String kind, long bytes, long proportional) {
      uses.add(
          MemoryUse.newBuilder()
              .setKind(kind)
              .setBytes(bytes)
              .setProportionalBytes(proportional)
              .build());
    }
  }

  /** Of the pages of these pools; all of a pool where the system does not tell. */
  private static long resident(Collection<BlockPool> pools) {
    long bytes = 0;
    for (BlockPool pool : pools) {
      try (ResidentPages pages = new ResidentPages(PAGE_BYTES)) {
        for (int plane = 0; plane < pool.planes(); plane++) {
          bytes += pages.bytes(pool.plane(plane));
        }
      } catch (IOException e) {
        bytes += pool.bytes();
      }
    }
    return bytes;
  }

  private static long metaspace() {
    return ManagementFactory.getMemoryPoolMXBeans().stream()
        .filter(pool -> pool.getName().equals("Metaspace"))
        .map(MemoryPoolMXBean::getUsage)
        .mapToLong(usage -> usage == null ? 0 : usage.getCommitted())
        .sum();
  }

  /** Buffers of the JVM's own making: what the models are fed with. */
  private static long direct() {
    return ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class).stream()
        .filter(pool -> pool.getName().equals("direct"))
        .mapToLong(BufferPoolMXBean::getMemoryUsed)
        .sum();
  }
}
